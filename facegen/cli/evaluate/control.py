"""`facegen eval control`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from facegen.cli.command import command
from facegen.cli.evaluate.options import Judge
from facegen.cli.options import Run
from facegen.cli.results import Column, interval, percent, print_facts, print_rows, print_table
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
    columns: tuple[Column, ...] = (
        ("came true", lambda row: percent(row["hit"]["share"])),
        ("95 % interval", lambda row: interval(row["hit"]["low"], row["hit"]["high"])),
        ("more often by", lambda row: percent(row["effect"]["share"])),
        ("limit", lambda row: percent(report.classifier_limits[row["attribute"]]["hit"])),
        ("leakage", lambda row: percent(row["mean_leakage"])),
        ("most into", _most_into),
    )
    by_name = [(row["attribute"], row) for row in report.rows]
    print_rows("By toggled attribute", "attribute", columns, by_name)
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
    name: str, found: Mapping[str, Any] | None, chance: float | None, limit: float | None
) -> tuple[Any, ...]:
    if found is None:
        return name, None, None, None, None
    reach = interval(found["low"], found["high"])
    return name, percent(found["share"]), reach, percent(chance), percent(limit)


def _most_into(row: Mapping[str, Any]) -> str | None:
    leaks = {name: cell["share"] for name, cell in row["leakage"].items() if cell and cell["share"] > 0}
    worst = sorted(leaks, key=lambda name: -leaks[name])[:MOST_LEAKS]
    return ", ".join(f"{name} {percent(leaks[name])}" for name in worst) or None


def _accuracy(report: ControlReport) -> float | None:
    accuracies = [limit["accuracy"] for limit in report.classifier_limits.values()]
    known = [accuracy for accuracy in accuracies if accuracy is not None]
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
