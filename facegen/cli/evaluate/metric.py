"""`facegen eval metric`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from facegen.cli.command import command
from facegen.cli.options import Run
from facegen.cli.results import print_facts, print_table
from facegen.evaluation.options import MetricOptions
from facegen.options import Option

if TYPE_CHECKING:
    from facegen.evaluation.metric import MetricReport
    from facegen.protocols import Progress


def _print(report: MetricReport) -> None:
    generated = _flat(report.generated)
    if report.real is None:
        columns, rows = ("", "generated"), list(generated.items())
    else:
        real = _flat(report.real)
        columns = ("", "generated", "real")
        rows = [(name, value, real.get(name)) for name, value in generated.items()]
    print_table(f"{report.metric}, {report.num_samples:,} images", columns, rows)
    print_facts({"Saved to": report.saved_to})


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested results by their dotted names; lists are left to the report."""
    flat = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        elif not isinstance(value, list):
            flat[prefix + name] = value
    return flat


@command(_print)
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
