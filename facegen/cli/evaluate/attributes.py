"""`facegen eval attributes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facegen.cli.command import command
from facegen.cli.evaluate.options import Judge
from facegen.cli.options import Run
from facegen.cli.results import print_evaluation
from facegen.evaluation.options import AttributeOptions

if TYPE_CHECKING:
    from facegen.evaluation.attributes import AttributeReport
    from facegen.protocols import Progress


@command(print_evaluation)
def attributes(run: Run, classifier: Judge, options: AttributeOptions, progress: Progress) -> AttributeReport:
    """Count how often the attributes asked for came true.

    Faces are drawn for the labels of held-out people, or for one request, and judged by a classifier trained
    by facegen, whose own accuracy is shown beside.

        facegen eval attributes run --classifier judge
        facegen eval attributes run --classifier judge --attributes "Male=1"
    """
    from facegen.evaluation.attributes import evaluate_attributes

    return evaluate_attributes(run, classifier, options, progress)
