"""What a long command would take: time, memory and disk, from doing a little of it on this machine.

The work itself is done twice or more, in growing sizes and each time in a process of its own, as the command
would do it: what a size costs more than the one before is what its items cost, the rest is paid once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from facegen.errors import FacegenError

Work = Callable[[int, Path], object]
GROWTH = 3
ENOUGH_SECONDS = 4.0  # that one size takes longer than the one before, to tell items from noise


@dataclass(frozen=True)
class Forecast:
    """What `count` of `what` would take, from `probed` of them; memory is the most that is resident at once,
    0 where the system does not tell it."""

    what: str
    count: int
    seconds: float
    memory_bytes: int
    disk_bytes: int
    probed: int
    probe_seconds: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Taken:
    """What the work took for `count` items."""

    count: int
    seconds: float
    memory_bytes: int
    disk_bytes: int


def forecast(work: Work, what: str, count: int, first: int, held: int = 0) -> Forecast:
    """What `work(count, out)` would take; `first` is the size to begin with, a batch where there are any;
    memory grows up to `held` items, which are in it at once.

    Work is pickled, writes into `out`, and is done in a scratch folder that is removed. Where there is little
    to do, all of it is done.

    Raises:
        FacegenError: as the work does.
    """
    begun = time.monotonic()
    before = measured(work, min(first, count))
    last = before
    while last.count < count and (
        last is before  # two sizes at least, and no more than half of it all to tell better
        or (last.seconds - before.seconds < ENOUGH_SECONDS and 2 * last.count * GROWTH <= count)
    ):
        before, last = last, measured(work, min(count, last.count * GROWTH))
    each = 0.0 if last is before else (last.count - before.count)

    def at(items: int, name: str) -> float:
        start, end = (float(getattr(one, name)) for one in (before, last))
        return end + (max(end - start, 0.0) / each * max(0, items - last.count) if each else 0.0)

    return Forecast(
        what,
        count,
        seconds=at(count, "seconds"),
        memory_bytes=round(at(min(count, held), "memory_bytes")),
        disk_bytes=round(at(count, "disk_bytes")),
        probed=last.count,
        probe_seconds=time.monotonic() - begun,
    )


def measured(work: Work, count: int) -> Taken:
    """Do the work in a process of its own, starting it included."""
    context = get_context("spawn")
    with TemporaryDirectory(prefix="facegen-dry-run-") as scratch:
        out = Path(scratch) / "out"
        answers, told = context.Pipe(duplex=False)
        begun = time.monotonic()
        process = context.Process(target=_do, args=(told, work, count, out))
        process.start()
        told.close()
        try:
            answer = answers.recv()
        except EOFError as error:
            raise FacegenError("The process that tried it has ended, perhaps for want of memory.") from error
        finally:
            process.terminate()
            process.join()
        if isinstance(answer, Exception):
            raise answer
        disk_bytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        return Taken(count, time.monotonic() - begun, answer, disk_bytes)


def peak_bytes() -> int:
    """The most memory that this process has had resident; 0 where the system does not tell."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _do(told: Connection, work: Work, count: int, out: Path) -> None:
    try:
        work(count, out)
    except FacegenError as error:
        told.send(error)
    else:
        told.send(peak_bytes())
