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
        from rich.console import Console

        return LiveProgress(Console(stderr=True, highlight=False))  # honours NO_COLOR
    return PlainProgress(sys.stderr)


class _Task:
    """How much of a stage is done, since when, and its fields as people read them."""

    def __init__(self, title: str, clock: Callable[[], float]) -> None:
        self.title, self.done = title, 0
        self._clock, self._start = clock, clock()
        self._fields: dict[str, str] = {}

    def advance(self, count: int = 1, **fields: str) -> None:
        self.done += count
        self._fields |= {name: value for name, value in fields.items() if name not in SHOWN_ANYWAY}

    @property
    def elapsed(self) -> float:
        return self._clock() - self._start

    @property
    def fields(self) -> list[str]:
        return [f"{name.replace('_', ' ')} {value}" for name, value in self._fields.items()]

    def done_line(self) -> str:
        count = f"{self.done:,} in " if self.done else ""
        return ", ".join([f"{self.title}: {count}{duration_text(self.elapsed)}", *self.fields])


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
        self.every_seconds = every_seconds
        self.clock = clock

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[ProgressTask]:
        self.say(f"{title} ...")
        task = _PlainTask(self, title, total)
        yield task
        self.say(task.done_line())

    def say(self, message: str) -> None:
        if self._talk:
            self._write(message)

    def warn(self, message: str) -> None:
        self._write(f"Warning: {message}")

    def _write(self, message: str) -> None:
        print(message, file=self._stream, flush=True)


class _PlainTask(_Task):
    def __init__(self, progress: PlainProgress, title: str, total: int | None) -> None:
        super().__init__(title, progress.clock)
        self._progress, self._total = progress, total
        self._last_line = 0.0

    def advance(self, count: int = 1, **fields: str) -> None:
        super().advance(count, **fields)
        elapsed = self.elapsed
        if elapsed - self._last_line >= self._progress.every_seconds:
            self._last_line = elapsed
            self._progress.say(", ".join([f"{self.title}: {self._where(elapsed)}", *self.fields]))

    def _where(self, elapsed: float) -> str:
        rate = self.done / elapsed if elapsed > 0 else 0.0
        if not self._total:
            return f"{self.done:,}, {_rate_text(rate)}, {duration_text(elapsed)}"
        share = f"{self.done:,}/{self._total:,} ({self.done / self._total:.0%})"
        left = f", {duration_text((self._total - self.done) / rate)} left" if rate else ""
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


class _LiveTask(_Task):
    def __init__(self, bars: RichBars, title: str, total: int | None) -> None:
        super().__init__(title, time.monotonic)
        self._bars = bars
        self.id = bars.add_task(title, total=total, rate="", shown="")

    def advance(self, count: int = 1, **fields: str) -> None:
        super().advance(count, **fields)
        elapsed = self.elapsed
        rate = _rate_text(self.done / elapsed) if elapsed > 0.5 and self.done else ""
        self._bars.update(self.id, advance=count, rate=rate, shown="  ".join(self.fields))


def duration_text(seconds: float) -> str:
    """Seconds as "4.2 s" below ten, else "2:03" or "1:02:03"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{whole:02d}" if hours else f"{minutes}:{whole:02d}"


def _rate_text(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
