"""`facegen eval subgroups`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facegen.cli.command import command
from facegen.cli.evaluate.options import Judge, Reference, Subject
from facegen.cli.results import Column, print_facts, print_rows
from facegen.evaluation.options import SubgroupOptions

if TYPE_CHECKING:
    from facegen.evaluation.subgroups import SubgroupReport
    from facegen.protocols import Progress


COLUMNS: tuple[Column, ...] = (
    ("images", lambda row: row["num_samples"]),
    ("real", lambda row: row["num_reference"]),
    ("KID", lambda row: _score(row["kid"])),
    ("Fréchet", lambda row: _score(row["frechet"])),
    ("precision", lambda row: _score(row["precision"])),
    ("recall", lambda row: _score(row["recall"])),
    ("as asked", lambda row: _score(row["accuracy"])),
    ("real faces", lambda row: _score(row["real_accuracy"])),
)
APART: tuple[Column, ...] = (
    ("apart: images", lambda row: (row["apart"] or row)["num_samples"]),
    ("KID", lambda row: _score((row["apart"] or row)["kid"])),
    ("precision", lambda row: _score((row["apart"] or row)["precision"])),
)


def _print(report: SubgroupReport) -> None:
    columns = COLUMNS + (APART if any(row["apart"] for row in report.rows) else ())
    shown = [column for column in columns if any(column[1](row) is not None for row in report.rows)]
    large = [(_name(row), row) for row in report.rows if not row["small"]]
    small = [(_name(row), row) for row in report.rows if row["small"]]
    print_rows(f"By group, {report.features} features (95 % intervals)", "group", shown, large)
    too_small = f"Too small to tell (fewer than {report.small_below} images)"
    print_rows(too_small, "group", shown, small, style="dim")
    print_facts(
        {
            "Worse off": ", ".join(report.worse_off) or "no group beyond doubt",
            "Remark": "\n".join(report.remarks) or None,
            "Saved to": report.saved_to,
        }
    )


def _name(row: dict[str, Any]) -> str:
    return f"{row['label']} = {row['value']}" if row["value"] else row["label"]


def _score(found: dict[str, float] | None) -> str | None:
    if found is None:
        return None
    value, low, high = (_number(found[key]) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


@command(_print)
def subgroups(
    subject: Subject,
    classifier: Judge,
    reference: Reference,
    options: SubgroupOptions,
    progress: Progress,
) -> SubgroupReport:
    """Score every group by itself: kernel distance, precision, recall, and attributes come true.

    A group is everyone asked to have an attribute, or not to, or to be of a class. Groups too small to tell
    are greyed out. Groups share images: worse off are those that are so by themselves, and every other is
    also scored apart from their images.

        facegen eval subgroups run --classifier judge --reference data/celeba
        facegen eval subgroups my_data --classifier judge --reference data/celeba
    """
    from facegen.evaluation.subgroups import evaluate_subgroups

    return evaluate_subgroups(subject, classifier, reference, options, progress)
