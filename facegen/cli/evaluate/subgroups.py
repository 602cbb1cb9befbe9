"""`facegen eval subgroups`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facegen.cli.command import command
from facegen.cli.evaluate.options import Judge, Reference, Subject
from facegen.cli.results import print_evaluation
from facegen.evaluation.options import SubgroupOptions

if TYPE_CHECKING:
    from facegen.evaluation.subgroups import SubgroupReport
    from facegen.protocols import Progress


@command(print_evaluation)
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
