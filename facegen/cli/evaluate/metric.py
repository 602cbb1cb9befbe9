"""`facegen eval metric`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facegen.cli.evaluate.options import Guidance, Seed, Steps
from facegen.cli.options import Device, Json, Quiet, Run, described

if TYPE_CHECKING:
    from facegen.evaluation.metric import MetricReport

ABOUT = (
    "Judge a run by a metric of your own, from any Python module.",
    "Faces are drawn for the labels of held-out people. The metric offers Config, build, update and compute"
    " (see examples/sixth_system); the real images with those labels are judged beside, where there are any.",
)
EXAMPLES = ("facegen eval metric run --metric my_lab.metrics:Sharpness --reference data",)


def register(group: typer.Typer) -> None:
    group.command("metric", **described(ABOUT, *EXAMPLES))(metric)


def metric(
    run: Run,
    metric: Annotated[str, typer.Option(help="The metric, as package.module:Name.", show_default=False)],
    num_samples: Annotated[int, typer.Option(help="Images to draw.", min=1)] = 500,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Data set or latents the requests come from; left out: what the run was trained on."
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split the requests come from.")] = "validation",
    seed: Seed = 0,
    guidance: Guidance = None,
    steps: Steps = None,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    from facegen.cli.console import make_progress
    from facegen.cli.results import print_json
    from facegen.evaluation.metric import MetricOptions, evaluate_metric

    options = MetricOptions(
        num_samples=num_samples,
        reference=reference,
        split=split,
        guidance=guidance,
        steps=steps,
        seed=seed,
        device=device,
    )
    report = evaluate_metric(run, metric, options, make_progress(quiet=quiet))
    if as_json:
        print_json(report)
    else:
        _print_metric(report)


def _print_metric(report: MetricReport) -> None:
    from facegen.cli.results import print_facts, print_table

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
