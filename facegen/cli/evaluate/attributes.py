"""`facegen eval attributes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facegen.cli.command import command
from facegen.cli.evaluate.options import Judge
from facegen.cli.options import Run
from facegen.cli.results import Column, interval, percent, print_facts, print_rows
from facegen.evaluation.options import AttributeOptions

if TYPE_CHECKING:
    from facegen.evaluation.attributes import AttributeReport
    from facegen.protocols import Progress


ASKED = {
    "all": "everything asked for",
    "present": "asked to be present",
    "absent": "asked to be absent",
    "whole_request": "whole requests",
}
CAME_TRUE: tuple[Column, ...] = (
    ("share", lambda row: percent(row["share"])),
    ("95 % interval", lambda row: interval(row["low"], row["high"])),
    ("asked", lambda row: row["num_asked"]),
)
BY_ATTRIBUTE: tuple[Column, ...] = (
    ("asked for", lambda row: row["asked_yes"]["num_asked"]),
    ("recall", lambda row: percent(row["recall"])),
    ("asked against", lambda row: row["asked_no"]["num_asked"]),
    ("stayed away", lambda row: percent(row["asked_no"]["hit_rate"])),
    ("precision", lambda row: percent(row["precision"])),
    ("accuracy", lambda row: percent(row["accuracy"])),
    ("real faces", lambda row: percent(row["accuracy_on_real"])),
    ("classifier right", lambda row: percent(row["classifier_accuracy"])),
)
KEPT: tuple[Column, ...] = (
    ("kept", lambda row: percent(row["agreement"])),
    ("95 % interval", lambda row: interval(row["agreement_low"], row["agreement_high"])),
    ("by chance", lambda row: percent(row["chance"])),
    ("above chance by", lambda row: percent(row["margin"])),
    ("95 % interval", lambda row: interval(row["margin_low"], row["margin_high"])),
)


def _print(report: AttributeReport) -> None:
    generated, kept = report.generated, report.kept or {}
    shares = [(label, generated[key]) for key, label in ASKED.items() if generated[key]]
    print_rows(f"Came true in {report.num_samples:,} images", "", CAME_TRUE, shares)
    print_rows("By attribute", "attribute", BY_ATTRIBUTE, report.attributes.items())
    print_rows("Kept from the picture asked with", "attribute", KEPT, kept.items())
    above = sum(row["margin_low"] > 0 for row in kept.values())
    print_facts(
        {
            "Kept": f"{above} of {len(kept)} attributes more often than by chance" if kept else None,
            "Classifier": f"right in {percent(report.classifier_accuracy) or 'unknown'} of held-out faces",
            "Weakest": ", ".join(report.weakest) or None,
            "Grid": report.grid,
            "Saved to": report.saved_to,
        }
    )


@command(_print)
def attributes(run: Run, classifier: Judge, options: AttributeOptions, progress: Progress) -> AttributeReport:
    """Count how often the attributes asked for came true.

    Faces are drawn for the labels of held-out people, or for one request, and judged by a classifier trained
    by facegen, whose own accuracy is shown beside.

        facegen eval attributes run --classifier judge
        facegen eval attributes run --classifier judge --attributes "Male=1"
    """
    from facegen.evaluation.attributes import evaluate_attributes

    return evaluate_attributes(run, classifier, options, progress)
