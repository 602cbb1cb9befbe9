"""`facegen eval control`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facegen.cli.command import command
from facegen.cli.evaluate.options import Judge
from facegen.cli.options import Run
from facegen.cli.results import print_evaluation
from facegen.evaluation.options import ControlOptions

if TYPE_CHECKING:
    from facegen.evaluation.control import ControlReport
    from facegen.protocols import Progress


@command(print_evaluation)
def control(run: Run, classifier: Judge, options: ControlOptions, progress: Progress) -> ControlReport:
    """Toggle one attribute or class at the same noise: did it change, and what else did?

    Pairs of faces are drawn whose requests differ in one attribute, and judged by a classifier trained by
    facegen. Gives hit rates, leakage into every other attribute, and a heat map.

        facegen eval control run --classifier judge
        facegen eval control run --classifier judge --attributes Smiling,Male
    """
    from facegen.evaluation.control import evaluate_control

    return evaluate_control(run, classifier, options, progress)
