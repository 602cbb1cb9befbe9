"""Results of `facegen bench` by hand."""

from __future__ import annotations

from facegen.bench.result import BenchResult, Machine, StageResult, Way
from facegen.bench.targets import rate_ratio

MACHINE = Machine("a processor", 2, 8 << 30, (), 1)
ROUNDS = (1.0, 1.1, 1.2, 1.3, 1.4)


def way(name: str, seconds: tuple[float, ...], *, cpu: tuple[float, ...] | None = None) -> Way:
    return Way(name, "limit" if name == "gather" else "facegen", "latent", seconds, cpu or seconds)


def result(*ways: Way, machine: Machine = MACHINE, quick: bool = False) -> BenchResult:
    findings = (rate_ratio("load/gather", "of the gather", ways[0], ways[-1]),)
    stage = StageResult("load", {"latents": 10}, ways, findings, ("nothing",), 1.0)
    return BenchResult(machine, {"facegen": "1"}, quick, (stage,))
