"""`facegen eval memorization`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facegen.cli.command import command
from facegen.cli.evaluate.options import Subject
from facegen.cli.results import print_evaluation
from facegen.evaluation.options import MemorizationOptions, Selection
from facegen.options import Option

if TYPE_CHECKING:
    from facegen.evaluation.memorization import MemorizationReport
    from facegen.protocols import Progress


OF_TRAINING = MemorizationOptions(selection=Selection(split="train"))


@command(print_evaluation)
def memorization(
    subject: Subject,
    train: Annotated[Path, Option("Data set the generator was trained on, unseen splits included.")],
    progress: Progress,
    options: MemorizationOptions = OF_TRAINING,
) -> MemorizationReport:
    """Find faces that are copies of training images, mirrored ones too.

    A face is flagged when its nearest training image is nearer than real faces of people who are not in the
    training set have theirs. The nearest pairs are shown side by side.

        facegen eval memorization run --train data/celeba
        facegen eval memorization run --train data/celeba --features inception
        facegen eval memorization my_images --train data/celeba --out pairs.png
    """
    from facegen.evaluation.memorization import evaluate_memorization

    options = replace(options, selection=replace(options.selection, data=train))
    return evaluate_memorization(subject, train, options, progress)
