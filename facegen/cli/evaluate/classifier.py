"""`facegen eval classifier`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.command import command
from facegen.cli.evaluate.options import JUDGE, RealFaces
from facegen.cli.results import Column, interval, percent, print_facts, print_rows
from facegen.evaluation.options import ClassifierOptions

if TYPE_CHECKING:
    from facegen.evaluation.classifier import ClassifierReport
    from facegen.protocols import Progress


COLUMNS: tuple[Column, ...] = (
    ("AUC", lambda row: None if row["auc"] is None else f"{row['auc']:.3f}"),
    ("95 % interval", lambda row: row["auc_interval"] and "{:.3f}–{:.3f}".format(*row["auc_interval"])),
    ("balanced", lambda row: percent(row["balanced_accuracy"])),
    ("95 % interval", lambda row: interval(*row["balanced_accuracy_interval"] or (None, None))),
    ("accuracy", lambda row: percent(row["accuracy"])),
    ("commoner", lambda row: percent(row["majority"])),
    ("has it", lambda row: row["num_positive"]),
)


def _print(report: ClassifierReport) -> None:
    ordered = sorted(report.labels.items(), key=lambda item: -(item[1]["auc"] or 0.0))
    few = [item for item in ordered if item[1]["num_positive"] < report.min_positives]
    title = f"{report.num_images:,} real faces ({' and '.join(report.splits)})"
    print_rows(title, "label", COLUMNS, [item for item in ordered if item not in few])
    hardly_known = f"Fewer than {report.min_positives} faces have it: hardly known"
    print_rows(hardly_known, "label", COLUMNS, few, style="dim")
    means = report.means
    print_facts(
        {
            "Mean AUC": None if means["auc"] is None else f"{means['auc']:.3f} of {report.num_scored} labels",
            "Balanced accuracy": percent(means["balanced_accuracy"]),
            "Calibration error": percent(means["calibration_error"]),
            "Remark": "\n".join(report.remarks) or None,
            "Saved to": report.saved_to,
        }
    )


@command(_print)
def classifier(
    run: Annotated[Path, Argument(help=JUDGE)],
    dataset: RealFaces,
    options: ClassifierOptions,
    progress: Progress,
) -> ClassifierReport:
    """Judge the judge: how well a classifier tells the labels of unseen real faces.

    Balanced accuracy and AUC of every label with intervals, and how far its probabilities can be taken at
    their word.

        facegen eval classifier judge data/celeba
        facegen eval classifier judge data/celeba --split test,validation --json
    """
    from facegen.evaluation.classifier import evaluate_classifier

    return evaluate_classifier(run, dataset, options, progress)
