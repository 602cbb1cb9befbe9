"""`facegen eval attributes`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facegen.cli.command import command
from facegen.cli.evaluate.options import Judge
from facegen.cli.options import Run
from facegen.cli.results import interval, percent, print_facts, print_table
from facegen.evaluation.options import AttributeOptions

if TYPE_CHECKING:
    from facegen.evaluation.attribute_report import AttributeReport
    from facegen.protocols import Progress


def _print(report: AttributeReport) -> None:
    shares = [
        (label, report.generated[key])
        for label, key in (
            ("everything asked for", "all"),
            ("asked to be present", "present"),
            ("asked to be absent", "absent"),
            ("whole requests", "whole_request"),
        )
        if report.generated[key]
    ]
    print_table(
        f"Came true in {report.num_samples:,} images",
        ("", "share", "95 % interval", "asked"),
        [(label, percent(s["share"]), interval(s["low"], s["high"]), s["num_asked"]) for label, s in shares],
    )
    print_table(
        "By attribute",
        (
            "attribute",
            "asked for",
            "recall",
            "asked against",
            "stayed away",
            "precision",
            "accuracy",
            "real faces",
            "classifier right",
        ),
        [_attribute_row(name, row) for name, row in report.attributes.items()],
    )
    kept = report.kept or {}
    print_table(
        "Kept from the picture asked with",
        ("attribute", "kept", "95 % interval", "by chance", "above chance by", "95 % interval"),
        [
            (
                name,
                percent(row["agreement"]),
                interval(row["agreement_low"], row["agreement_high"]),
                percent(row["chance"]),
                percent(row["margin"]),
                interval(row["margin_low"], row["margin_high"]),
            )
            for name, row in kept.items()
        ],
    )
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


def _attribute_row(name: str, row: dict[str, Any]) -> tuple[Any, ...]:
    yes, no = row["asked_yes"], row["asked_no"]
    return (
        name,
        yes["num_asked"],
        percent(row["recall"]),
        no["num_asked"],
        percent(no["hit_rate"]),
        percent(row["precision"]),
        percent(row["accuracy"]),
        percent(row["accuracy_on_real"]),
        percent(row["classifier_accuracy"]),
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
