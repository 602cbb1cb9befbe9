"""`facegen eval attributes`, `control`, `edit`, `subgroups` and `classifier`: a classifier answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.command import command
from facegen.cli.completion import run_folders
from facegen.cli.evaluate.options import JUDGE, Judge, RealFaces, Reference, Subject
from facegen.cli.options import Run
from facegen.cli.results import print_evaluation
from facegen.evaluation.options import (
    AttributeOptions,
    ClassifierOptions,
    ControlOptions,
    EditEvaluationOptions,
    SubgroupOptions,
)

if TYPE_CHECKING:
    from facegen.evaluation.attributes import AttributeReport
    from facegen.evaluation.classifier import ClassifierReport
    from facegen.evaluation.control import ControlReport
    from facegen.evaluation.edit import EditReport
    from facegen.evaluation.subgroups import SubgroupReport
    from facegen.protocols import Progress


@command(print_evaluation, many=True)
def attributes(run: Run, classifier: Judge, options: AttributeOptions, progress: Progress) -> AttributeReport:
    """Count how often the attributes asked for came true.

    Faces are drawn for the labels of held-out people, or for one request, and judged by a classifier trained
    by facegen, whose own accuracy is shown beside.

        facegen eval attributes run --classifier judge
        facegen eval attributes run --classifier judge --attributes "Male=1"
    """
    from facegen.evaluation.attributes import evaluate_attributes

    return evaluate_attributes(run, classifier, options, progress)


@command(print_evaluation, many=True)
def control(run: Run, classifier: Judge, options: ControlOptions, progress: Progress) -> ControlReport:
    """Toggle one attribute or class at the same noise: did it change, and what else did?

    Pairs of faces are drawn whose requests differ in one attribute, and judged by a classifier trained by
    facegen. Gives hit rates, leakage into every other attribute, and a heat map.

        facegen eval control run --classifier judge
        facegen eval control run --classifier judge --attributes Smiling,Male
    """
    from facegen.evaluation.control import evaluate_control

    return evaluate_control(run, classifier, options, progress)


@command(print_evaluation)
def edit(run: Run, classifier: Judge, options: EditEvaluationOptions, progress: Progress) -> EditReport:
    """Switch attributes of held-out photos: did it come true, and what else changed?

    Each photo is told to show its own labels and asked for them with one switched, as 'facegen edit' does,
    and by SDEdit; both are judged by a classifier trained by facegen. Gives what came true, leakage into all
    other attributes and distances, and those of SDEdit where as much comes true.

        facegen eval edit run --classifier judge --data data/celeba
        facegen eval edit run --classifier judge --data data --attributes Smiling
    """
    from facegen.evaluation.edit import evaluate_edit

    return evaluate_edit(run, classifier, options, progress)


@command(print_evaluation, many=True)
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


@command(print_evaluation, many=True)
def classifier(
    run: Annotated[Path, Argument(help=JUDGE, autocompletion=run_folders)],
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
