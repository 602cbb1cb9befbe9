"""`facegen label`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facegen.cli.command import command
from facegen.cli.options import PreparedFolder
from facegen.cli.results import print_facts, print_table
from facegen.options import Option
from facegen.preparation.options import LabelOptions
from facegen.report.words import percent

if TYPE_CHECKING:
    from facegen.preparation.label import LabelRow, LabelSummary
    from facegen.protocols import Progress


def _print(summary: LabelSummary) -> None:
    if summary.class_column is not None:
        title, columns = f"Classes: {summary.class_column}", ("class", "images", "left out")
    else:
        title, columns = "Attributes", ("attribute", "yes", "no", "unknown")
    rows = [_row(row, is_class=summary.class_column is not None) for row in summary.labels]
    print_table(title, (*columns, "as before", "classifier right"), rows)
    print_facts(
        {
            "Images": ", ".join(f"{count:,} {split}" for split, count in summary.counts.items()),
            "Left out": f"{summary.left_out:,} (see rejects.csv)" if summary.left_out else None,
            "Note": summary.notes[-1],
            "Data set": summary.out,
        }
    )


def _row(row: LabelRow, *, is_class: bool) -> list[object]:
    counts = [row.given] if is_class else [row.num_yes, row.given - (row.num_yes or 0)]
    return [row.label, *counts, row.unsure, percent(row.agreement), percent(row.held_out)]


@command(_print)
def label(
    dataset: PreparedFolder,
    classifier: Annotated[
        Path, Option("A classifier run, of attributes or of a class column.", completes="runs")
    ],
    out: Annotated[Path, Option("Folder for the labelled data set.")],
    options: LabelOptions,
    progress: Progress,
) -> LabelSummary:
    """Label a data set with a classifier trained here.

    Attributes it is not sure of stay unknown; images whose class it is not sure of are left out and listed in
    rejects.csv. What it says is a model's opinion, and the data set says so.

        facegen label data/mine --classifier runs/race --out data/labelled
        facegen label data/mine --classifier runs/ab --out data/l --attributes Male
        facegen label data/mine --classifier runs/race --out d --min-confidence 0.7
    """
    from facegen.preparation.label import label

    return label(dataset, classifier, out, options, progress)
