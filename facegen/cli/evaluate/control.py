"""`facegen eval control`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facegen.cli.command import command
from facegen.cli.evaluate.options import Judge
from facegen.cli.options import Run
from facegen.cli.results import interval, percent, print_facts, print_table
from facegen.evaluation.options import ControlOptions

if TYPE_CHECKING:
    from facegen.evaluation.control import ControlReport
    from facegen.protocols import Progress

MOST_LEAKS = 3  # named in a row of the table


def _print(report: ControlReport) -> None:
    print_table(
        f"{report.num_samples:,} pairs an attribute, {report.num_images:,} images",
        ("", "share", "95 % interval", "redrawn at random", "classifier's own limit"),
        [
            _summary("came true", report.hit, report.hit_chance, report.classifier_hit),
            _summary("leakage", report.leakage, report.leakage_chance, report.classifier_leakage),
        ],
    )
    print_table(
        "By toggled attribute",
        ("attribute", "came true", "95 % interval", "more often by", "limit", "leakage", "most into"),
        [_row(row, report) for row in report.rows],
    )
    print_facts(
        {
            "No effect shown": ", ".join(report.no_effect_shown) or "none: asking makes each more frequent",
            "Classifier": f"right in {percent(_accuracy(report)) or 'unknown'} of held-out faces",
            "Remark": "\n".join(report.remarks) or None,
            "Heat map": report.heat_map,
            "Pairs": report.grid,
            "Saved to": report.saved_to,
        }
    )


def _summary(
    name: str, found: dict[str, float] | None, chance: float | None, limit: float | None
) -> tuple[Any, ...]:
    if found is None:
        return name, None, None, None, None
    return (
        name,
        percent(found["share"]),
        interval(found["low"], found["high"]),
        percent(chance),
        percent(limit),
    )


def _row(row: dict[str, Any], report: ControlReport) -> tuple[Any, ...]:
    hit = row["hit"]
    leaks = {name: cell["share"] for name, cell in row["leakage"].items() if cell and cell["share"] > 0}
    worst = sorted(leaks, key=lambda name: -leaks[name])[:MOST_LEAKS]
    return (
        row["attribute"],
        percent(hit["share"]),
        interval(hit["low"], hit["high"]),
        percent(row["effect"]["share"]),
        percent(report.classifier_limits[row["attribute"]]["hit"]),
        percent(row["mean_leakage"]),
        ", ".join(f"{name} {percent(leaks[name])}" for name in worst) or None,
    )


def _accuracy(report: ControlReport) -> float | None:
    known = [
        limit["accuracy"] for limit in report.classifier_limits.values() if limit["accuracy"] is not None
    ]
    return sum(known) / len(known) if known else None


@command(_print)
def control(run: Run, classifier: Judge, options: ControlOptions, progress: Progress) -> ControlReport:
    """Toggle one attribute or class at the same noise: did it change, and what else did?

    Pairs of faces are drawn whose requests differ in one attribute, and judged by a classifier trained by
    facegen. Gives hit rates, leakage into every other attribute, and a heat map.

        facegen eval control run --classifier judge
        facegen eval control run --classifier judge --attributes Smiling,Male
    """
    from facegen.evaluation.control import evaluate_control

    return evaluate_control(run, classifier, options, progress)
