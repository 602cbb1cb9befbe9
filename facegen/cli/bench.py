"""`facegen bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.bench.options import ALL, STAGES, BenchOptions
from facegen.cli.command import command
from facegen.cli.results import print_facts, print_table

if TYPE_CHECKING:
    from facegen.bench.result import BenchResult, Finding, StageResult
    from facegen.protocols import Progress

UNITS = ((1, "s"), (1e3, "ms"), (1e6, "µs"), (1e9, "ns"))
BAR_CELLS, EIGHTHS = 20, " ▏▎▍▌▋▊▉█"
Stage = Annotated[
    str,
    Argument(
        help=f"{', '.join(STAGES)}; {ALL}: one after the other.",
        metavar="STAGE",
        autocompletion=lambda incomplete: [name for name in (*STAGES, ALL) if name.startswith(incomplete)],
    ),
]


def _print(found: BenchResult) -> None:
    for stage in found.stages:
        _print_stage(stage)
    _print_changes(found)
    machine = found.machine
    print_facts(
        {
            "Machine": f"{machine.processor}, {machine.cores} cores, {machine.memory_bytes / 2**30:,.0f} GiB",
            "Cards": ", ".join(machine.cards) or None,
            "Threads": machine.threads,
            "Versions": ", ".join(f"{name} {version}" for name, version in found.versions.items()),
            "Busy": _busy(found),
            "Quick": "small sizes and few rounds: these are not speeds to rely on" if found.quick else None,
        }
    )


def _busy(found: BenchResult) -> str | None:
    """A word where others wanted the cores too, so that the wall's clock tells of them."""
    if found.waiting is None or found.waiting[0] < found.machine.cores:
        return None
    many = " and ".join(f"{one:.1f}" for one in found.waiting)
    return f"{many} programs wanted a core before and after: trust the processor's clock"


def _print_stage(stage: StageResult) -> None:
    """The ways with bars of their rates, and what is found by them."""
    from statistics import median

    from facegen.bench.result import quartiles

    fastest: dict[str, float] = {}
    for way in stage.ways:
        fastest[way.item] = max(fastest.get(way.item, 0.0), way.per_second)
    rows = [
        (
            way.name,
            way.role,
            way.per_second,
            f"{way.item}s/s",
            _bar(way.per_second / fastest[way.item]),
            *map(_time, (median(way.seconds), *quartiles(way.seconds), median(way.cpu_seconds))),
        )
        for way in stage.ways
    ]
    sizes = ", ".join(f"{name} {value}" for name, value in stage.sizes.items())
    columns = ("way", "role", "rate", "", "", "time each", "1st quartile", "3rd quartile", "on the CPU")
    print_table(f"{stage.stage} ({sizes}; {stage.seconds:.0f} s)", columns, rows)
    judged = [
        (one.name, one.value, one.unit, one.low, one.high, one.by_cpu, _target(one), one.verdict, one.why)
        for one in stage.findings
    ]
    columns = ("finding", "value", "", "1st quartile", "3rd quartile", "by CPU", "target", "verdict", "why")
    print_table("", columns, judged, caption="\n".join(f"Left out: {one}." for one in stage.left_out))


def _target(one: Finding) -> str | None:
    from facegen.wording import number_text

    if one.target is None:
        return None
    return f"{'≥' if one.better == 'higher' else '≤'} {number_text(one.target)}"


def _print_changes(found: BenchResult) -> None:
    if found.compared_with is None:
        return
    rows = [
        (
            one.stage,
            one.name,
            one.role,
            _time(one.then_seconds),
            _time(one.now_seconds),
            one.ratio,
            one.by_cpu,
            one.verdict,
        )
        for one in found.changes
    ]
    quiet = [number for number, one in enumerate(found.changes) if one.verdict == "same"]
    columns = ("stage", "way", "role", "then", "now", "now / then", "by CPU", "")
    slower = sum(one.verdict.startswith("slower") for one in found.changes if one.role == "facegen")
    print_table(f"Beside '{found.compared_with}'", columns, rows, dimmed=quiet)
    print_facts({"Slower": f"{slower} of facegen's own"})


def _time(seconds: float) -> str:
    """In the unit that leaves one to three digits before the point."""
    from facegen.wording import number_text

    scale, unit = next((pair for pair in UNITS if seconds * pair[0] >= 1), UNITS[-1])
    return f"{number_text(seconds * scale)} {unit}"


def _bar(share: float) -> str:
    """A bar of eighths of cells."""
    full, rest = divmod(round(8 * BAR_CELLS * share), 8)
    return "█" * full + EIGHTHS[rest].strip()


@command(_print, opens_models=False)
def bench(stage: Stage = ALL, *, options: BenchOptions, progress: Progress) -> BenchResult:
    """How fast facegen is here, beside what others do and what the machine can do.

    Each stage takes turns with the pattern that other tools use and with the least that it can take (a copy
    in memory, a bare pass through the network), and tells medians, quartiles and processor time, and each
    ratio beside its target. It needs no data and no model.

        facegen bench all
        facegen bench train --out before.json
        facegen bench train --compare before.json
        facegen bench all --quick --out speed.png
    """
    from facegen.bench.run import bench

    return bench(stage, options, progress)
