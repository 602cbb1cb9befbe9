"""`facegen eval classifier`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from facegen.cli.command import command
from facegen.cli.evaluate.options import JUDGE, RealFaces
from facegen.cli.results import interval, percent, print_facts, print_table
from facegen.evaluation.options import ClassifierOptions

if TYPE_CHECKING:
    from facegen.evaluation.classifier import ClassifierReport
    from facegen.protocols import Progress


def _print(report: ClassifierReport) -> None:
    ordered = sorted(report.labels.items(), key=lambda item: -(item[1]["auc"] or 0.0))
    few = [item for item in ordered if item[1]["num_positive"] < report.min_positives]
    columns = ("label", "AUC", "95 % interval", "balanced", "95 % interval", "accuracy", "commoner", "has it")
    rows = [_row(name, scores) for name, scores in ordered if (name, scores) not in few]
    splits = " and ".join(report.splits)
    print_table(f"{report.num_images:,} real faces ({splits})", columns, rows)
    print_table(
        f"Fewer than {report.min_positives} faces have it: hardly known",
        columns,
        [_row(name, scores) for name, scores in few],
        style="dim",
    )
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


def _row(name: str, scores: dict[str, Any]) -> tuple[Any, ...]:
    auc, balanced = scores["auc_interval"], scores["balanced_accuracy_interval"]
    return (
        name,
        None if scores["auc"] is None else f"{scores['auc']:.3f}",
        None if auc is None else f"{auc[0]:.3f}–{auc[1]:.3f}",
        percent(scores["balanced_accuracy"]),
        None if balanced is None else interval(*balanced),
        percent(scores["accuracy"]),
        percent(scores["majority"]),
        scores["num_positive"],
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
