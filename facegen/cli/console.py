"""How facegen talks to a person: progress, remarks and warnings, all on stderr.

`make_progress` picks the implementation of `facegen.protocols.Progress`: live bars on a terminal, a line
every few seconds elsewhere (no carriage returns in log files), warnings alone with `--quiet`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichBars

    from facegen.protocols import Progress, ProgressTask

PLAIN_LINE_EVERY_SECONDS = 5.0
SHOWN_ANYWAY = ("ETA",)  # fields that repeat what every bar shows


def make_progress(*, quiet: bool = False) -> Progress:
    """Live bars on a terminal, plain lines elsewhere, warnings alone when `quiet`."""
    if quiet:
        return PlainProgress(sys.stderr, talk=False)
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return LiveProgress(stderr_console())
    return PlainProgress(sys.stderr)


def stderr_console() -> Console:
    """A rich console on stderr; honours NO_COLOR."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


class PlainProgress:
    """Lines for log files: one when a stage starts, one every few seconds, one when it ends."""

    def __init__(
        self,
        stream: TextIO,
        *,
        talk: bool = True,
        every_seconds: float = PLAIN_LINE_EVERY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._talk = talk
        self._every_seconds = every_seconds
        self._clock = clock

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[ProgressTask]:
        self.say(f"{title} ...")
        task = _PlainTask(title, total, self.say, self._every_seconds, self._clock)
        yield task
        task.finish()

    def say(self, message: str) -> None:
        if self._talk:
            self._write(message)

    def warn(self, message: str) -> None:
        self._write(f"Warning: {message}")

    def _write(self, message: str) -> None:
        print(message, file=self._stream, flush=True)


class _PlainTask:
    def __init__(
        self,
        title: str,
        total: int | None,
        say: Callable[[str], None],
        every_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._title, self._total, self._say = title, total, say
        self._every_seconds, self._clock = every_seconds, clock
        self._start = self._last_line = clock()
        self._done = 0
        self._fields: dict[str, str] = {}

    def advance(self, count: int = 1, **fields: str) -> None:
        self._done += count
        self._fields.update(_own_fields(fields))
        now = self._clock()
        if now - self._last_line >= self._every_seconds:
            self._last_line = now
            self._say(f"{self._title}: {self._where(now - self._start)}{_fields_text(self._fields)}")

    def finish(self) -> None:
        self._say(_done_line(self._title, self._done, self._clock() - self._start, self._fields))

    def _where(self, elapsed: float) -> str:
        rate = self._done / elapsed if elapsed > 0 else 0.0
        if not self._total:
            return f"{self._done:,}, {_rate_text(rate)}, {duration_text(elapsed)}"
        share = f"{self._done:,}/{self._total:,} ({self._done / self._total:.0%})"
        left = f", {duration_text((self._total - self._done) / rate)} left" if rate else ""
        return f"{share}, {_rate_text(rate)}, {duration_text(elapsed)}{left}"


class LiveProgress:
    """Live bars with rate, elapsed time, time left and fields; finished stages leave a line behind."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: RichBars | None = None
        self._open_stages = 0

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[ProgressTask]:
        bars = self._bars or self._start_bars()
        self._open_stages += 1
        task = _LiveTask(bars, title, total)
        try:
            yield task
            self._console.print(f"[green]✓[/] {_escaped(task.done_line())}")
        finally:
            bars.remove_task(task.id)
            self._open_stages -= 1
            if not self._open_stages:
                bars.stop()
                self._bars = None

    def say(self, message: str) -> None:
        self._console.print(_escaped(message))

    def warn(self, message: str) -> None:
        self._console.print(f"[yellow]Warning:[/] {_escaped(message)}")

    def _start_bars(self) -> RichBars:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[shown]}", style="dim", markup=False),
            console=self._console,
            transient=True,
            refresh_per_second=5,
        )
        self._bars.start()
        return self._bars


class _LiveTask:
    def __init__(self, bars: RichBars, title: str, total: int | None) -> None:
        self._bars, self._title = bars, title
        self._start = time.monotonic()
        self._done = 0
        self._fields: dict[str, str] = {}
        self.id = bars.add_task(title, total=total, rate="", shown="")

    def advance(self, count: int = 1, **fields: str) -> None:
        self._done += count
        self._fields.update(_own_fields(fields))
        elapsed = time.monotonic() - self._start
        rate = _rate_text(self._done / elapsed) if elapsed > 0.5 and self._done else ""
        shown = "  ".join(f"{_name(name)} {value}" for name, value in self._fields.items())
        self._bars.update(self.id, advance=count, rate=rate, shown=shown)

    def done_line(self) -> str:
        return _done_line(self._title, self._done, time.monotonic() - self._start, self._fields)


def duration_text(seconds: float) -> str:
    """Seconds as "4.2 s" below ten, else "2:03" or "1:02:03"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{whole:02d}" if hours else f"{minutes}:{whole:02d}"


def _rate_text(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"


def _done_line(title: str, done: int, elapsed: float, fields: dict[str, str]) -> str:
    count = f"{done:,} in " if done else ""
    return f"{title}: {count}{duration_text(elapsed)}{_fields_text(fields)}"


def _fields_text(fields: dict[str, str]) -> str:
    return "".join(f", {_name(name)} {value}" for name, value in fields.items())


def _own_fields(fields: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if name not in SHOWN_ANYWAY}


def _name(field: str) -> str:
    return field.replace("_", " ")


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
