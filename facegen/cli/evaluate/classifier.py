"""`facegen eval classifier`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.command import command
from facegen.cli.evaluate.options import JUDGE, RealFaces
from facegen.cli.results import print_evaluation
from facegen.evaluation.options import ClassifierOptions

if TYPE_CHECKING:
    from facegen.evaluation.classifier import ClassifierReport
    from facegen.protocols import Progress


@command(print_evaluation)
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
