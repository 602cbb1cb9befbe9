"""An earlier result beside a new one of the same machine: what became slower?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from statistics import median

from facegen.bench.options import BenchOptions
from facegen.bench.result import BenchResult, Change, Changed, Machine, StageResult, Way
from facegen.errors import UsageError
from facegen.report.words import cell
from facegen.vocabulary.words import readable


def check_comparable(earlier: BenchResult, machine: Machine, options: BenchOptions) -> None:
    """Refuse a result of another machine, or of other sizes.

    Raises:
        UsageError: says in what they differ.
    """
    told = [
        f"{readable(one.name)} {cell(before)} there, {cell(now)} here"
        for one in fields(Machine)
        if (before := getattr(earlier.machine, one.name)) != (now := getattr(machine, one.name))
    ]
    if told:
        raise UsageError(
            f"'{options.compare}' is of another machine: {'; '.join(told)}.",
            hint="Times of different machines say nothing about facegen. Compare results of one machine.",
        )
    if earlier.quick != options.quick:
        raise UsageError(
            f"'{options.compare}' was measured {'with' if earlier.quick else 'without'} --quick.",
            hint="Measure with the same sizes: with --quick both times, or without.",
        )


def changes(earlier: BenchResult, now: BenchResult) -> tuple[Change, ...]:
    """Every way that both have, in the order of `now`."""
    before = {stage.stage: stage for stage in earlier.stages}
    return tuple(
        change
        for stage in now.stages
        if stage.stage in before and before[stage.stage].sizes == stage.sizes
        for change in _changes(before[stage.stage], stage)
    )


def _changes(earlier: StageResult, now: StageResult) -> Iterator[Change]:
    before = {way.name: way for way in earlier.ways}
    for way in now.ways:
        if (then := before.get(way.name)) is not None:
            yield _change(now.stage, then, way)


def _change(stage: str, then: Way, now: Way) -> Change:
    ratio, by_cpu = (
        median(after) / before if (before := median(earlier)) else 1.0
        for earlier, after in ((then.seconds, now.seconds), (then.cpu_seconds, now.cpu_seconds))
    )
    return Change(
        stage,
        now.name,
        now.role,
        median(then.seconds),
        median(now.seconds),
        ratio,
        by_cpu,
        _verdict(then, now),
    )


def _verdict(then: Way, now: Way) -> Changed:
    """Every round now against every round then: of five and five of one kind, once in 252 by chance."""
    slower = min(now.seconds) > max(then.seconds)
    if slower:
        on_both = min(now.cpu_seconds) > max(then.cpu_seconds)
        return "slower" if on_both else "slower by the wall alone"
    return "faster" if max(now.seconds) < min(then.seconds) else "same"
