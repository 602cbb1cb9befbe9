"""What was measured, as frozen dataclasses, and the JSON that they are kept as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Literal

from facegen.errors import DataError
from facegen.formats.files import read_json
from facegen.formats.plain import from_plain, plain

BENCH_FORMAT_VERSION = 1

Role = Literal["facegen", "peer", "limit"]
Verdict = Literal["met", "within the spread", "missed"]
Changed = Literal["slower", "slower by the wall alone", "faster", "same"]


@dataclass(frozen=True)
class Way:
    """One way of doing what a stage does: facegen's, a `peer`'s or the least that it can take (`limit`).

    Per `item` ("image", "step"), round by round: `seconds` on the wall, and `cpu_seconds` of the processor in
    this process and the children that it waited for.
    """

    name: str
    role: Role
    item: str
    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]

    @property
    def per_second(self) -> float:
        """Items a second, by the median round."""
        return 1 / median(self.seconds)


@dataclass(frozen=True)
class Finding:
    """A number to be judged: `value` with its quartiles, and `by_cpu` the same by processor time.

    `key` is that of its target in `facegen.bench.targets`, if it has one; `target` and `why` are taken from
    there, so that a result that was kept says what it was judged by.
    """

    key: str
    name: str
    unit: str
    value: float
    low: float
    high: float
    by_cpu: float | None = None
    target: float | None = None
    better: Literal["higher", "lower"] = "higher"
    why: str = ""
    verdict: Verdict | None = None


@dataclass(frozen=True)
class StageResult:
    """What a stage came to; `sizes` says on how much it was measured.

    `left_out` says what could not be measured here, and why.
    """

    stage: str
    sizes: dict[str, Any]
    ways: tuple[Way, ...]
    findings: tuple[Finding, ...]
    left_out: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Machine:
    """What results must agree in to be compared."""

    processor: str
    cores: int
    memory_bytes: int
    cards: tuple[str, ...]
    threads: int


@dataclass(frozen=True)
class Change:
    """A way then and now, in seconds an item: the medians, and what became of it.

    `ratio` is now over then on the wall, `by_cpu` the same of processor time. `verdict` is "slower" where
    every round now is slower than every round then, on both clocks or by the wall alone.
    """

    stage: str
    name: str
    role: Role
    then_seconds: float
    now_seconds: float
    ratio: float
    by_cpu: float
    verdict: Changed


@dataclass(frozen=True)
class BenchResult:
    """Everything of one call; `versions` are of what was measured, `changes` beside `compared_with`.

    `waiting` is how many programs wanted a core at its beginning and end, on the average of a minute before;
    None where the system does not tell.
    """

    machine: Machine
    versions: dict[str, str]
    quick: bool
    stages: tuple[StageResult, ...]
    waiting: tuple[float, float] | None = None
    compared_with: str | None = None
    changes: tuple[Change, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON, headed by the format version."""
        return {"format_version": BENCH_FORMAT_VERSION, **plain(self)}


def read_result(path: Path) -> BenchResult:
    """What `facegen bench --out` wrote to `path`.

    Raises:
        DataError: there is no such file, or it is no such result.
    """
    if not path.is_file():
        raise DataError(
            f"There is no result '{path}' to compare with.",
            hint=f"Make one first: facegen bench all --out {path}",
        )
    return from_plain(BenchResult, read_json(path, BENCH_FORMAT_VERSION), path)


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The first and the third; of a single value that value twice."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = quantiles(values, n=4, method="inclusive")
    return first, third
