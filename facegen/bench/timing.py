"""Ways that take turns, by two clocks: A B C A B C ..., so that a machine that drifts is unfair to none."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from facegen.bench.result import Role, Way

try:
    import resource
except ImportError:  # Windows
    resource = None

ROUNDS, QUICK_ROUNDS = 5, 3


@dataclass(frozen=True, eq=False)
class Subject:
    """What is measured: a call of `act` does `items`, which may be parts of one."""

    name: str
    role: Role
    act: Callable[[], Any]
    items: float = 1.0
    item: str = "image"


@dataclass(frozen=True)
class Clocks:
    """Seconds on the wall, and of the processor in this process and in children that have ended."""

    wall: float
    cpu: float

    @staticmethod
    def now() -> Clocks:
        """Once the accelerator has done what it was asked for."""
        torch: Any = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return Clocks(time.perf_counter(), _cpu_seconds())

    def since(self, before: Clocks) -> Clocks:
        return Clocks(self.wall - before.wall, self.cpu - before.cpu)


def _cpu_seconds() -> float:
    if resource is None:
        return time.process_time()
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


@dataclass
class Record:
    """Rounds of ways as they come in."""

    taken: dict[Subject, list[Clocks]] = field(default_factory=dict[Subject, list[Clocks]])

    def note(self, subject: Subject, took: Clocks) -> None:
        self.taken.setdefault(subject, []).append(took)

    @property
    def ways(self) -> dict[str, Way]:
        """By name."""
        return {one.name: _way(one, took) for one, took in self.taken.items()}


def _way(one: Subject, took: list[Clocks]) -> Way:
    wall, cpu = (
        tuple(seconds / one.items for seconds in each) for each in zip(*map(astuple, took), strict=True)
    )
    return Way(one.name, one.role, one.item, wall, cpu)


@dataclass
class Bench:
    """What a stage is given: a folder to work in, its size, and who hears that a round is done."""

    folder: Path
    quick: bool
    tick: Callable[[], None] = lambda: None

    @property
    def rounds(self) -> int:
        return QUICK_ROUNDS if self.quick else ROUNDS

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def interleaved(self, *subjects: Subject) -> dict[str, Way]:
        """The subjects in turn, by name; the first round, which warms up, is not counted."""
        record = Record()
        set_aside()
        for number in range(1 + self.rounds):
            for subject in subjects:
                took = timed(subject.act)
                if number > 0:
                    record.note(subject, took)
            self.tick()
        return record.ways


def set_aside() -> None:
    """Have the collector never look again at what is there by now: before every call it would take long."""
    gc.collect()
    gc.freeze()


def timed(act: Callable[[], Any]) -> Clocks:
    """What a call takes, with nothing of others' left to be collected in it."""
    gc.collect()
    before = Clocks.now()
    act()
    return Clocks.now().since(before)
