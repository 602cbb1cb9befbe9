"""`facegen eval metric`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from facegen.cli.command import command
from facegen.cli.options import Run
from facegen.cli.results import print_evaluation
from facegen.evaluation.options import MetricOptions
from facegen.options import Option

if TYPE_CHECKING:
    from facegen.evaluation.metric import MetricReport
    from facegen.protocols import Progress


@command(print_evaluation)
def metric(
    run: Run,
    metric: Annotated[str, Option("The metric, as package.module:Name.")],
    options: MetricOptions,
    progress: Progress,
) -> MetricReport:
    """Judge a run by a metric of your own, from any Python module.

    Faces are drawn for the labels of held-out people. The metric offers Config, build, update and compute
    (see examples/sixth_system); the real images with those labels are judged beside, where there are any.

        facegen eval metric run --metric my_lab.metrics:Sharpness --reference data
    """
    from facegen.evaluation.metric import evaluate_metric

    return evaluate_metric(run, metric, options, progress)
