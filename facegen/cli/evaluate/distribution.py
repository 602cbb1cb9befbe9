"""The options and the output that the distribution metrics share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facegen.cli.completion import feature_networks
from facegen.cli.evaluate.options import Guidance, Seed, Steps, Subject
from facegen.cli.options import HARDWARE, Device, Json, Quiet

if TYPE_CHECKING:
    from facegen.evaluation.distribution import DistributionReport
    from facegen.evaluation.sweep import SweepReport
    from facegen.formats.reports import ScoreRow

SWEEP = "Sweep (of a run)"
Reference = Annotated[
    Path, typer.Option(help="Real faces: a folder made by 'facegen prepare'.", show_default=False)
]
Features = Annotated[
    str,
    typer.Option(
        help="inception, clip, vgg16, dinov2, or classifier:RUN, a classifier of yours (offline).",
        autocompletion=feature_networks,
    ),
]
Weights = Annotated[
    Path | None, typer.Option(help="File with the feature network's weights; left out: downloaded once.")
]
NumSamples = Annotated[
    int | None, typer.Option(help="Images to compare; left out: 1,000 drawn, or all of a folder.", min=1)
]
Split = Annotated[str, typer.Option(help="Split of the reference.")]
BatchSize = Annotated[int | None, typer.Option(help="Images at once.", min=1, rich_help_panel=HARDWARE)]
Sweep = Annotated[
    str | None,
    typer.Option(
        help="Score the run at several settings: guidance=1,1.5,2,3 or steps=10,20,50.",
        metavar="NAME=VALUES",
        rich_help_panel=SWEEP,
    ),
]


def distribution_command(
    metrics: Sequence[str] | None, default_features: str = "inception"
) -> Callable[..., None]:
    """A command that scores by `metrics`; None: by all that the features allow."""

    def command(
        subject: Subject,
        reference: Reference,
        features: Features = default_features,
        weights: Weights = None,
        num_samples: NumSamples = None,
        split: Split = "train",
        seed: Seed = 0,
        guidance: Guidance = None,
        steps: Steps = None,
        sweep: Sweep = None,
        batch_size: BatchSize = None,
        device: Device = "auto",
        as_json: Json = False,
        quiet: Quiet = False,
    ) -> None:
        given = {
            "features": features,
            "weights": weights,
            "num_samples": num_samples,
            "split": split,
            "seed": seed,
            "guidance": guidance,
            "steps": steps,
            "batch_size": batch_size,
            "device": device,
        }
        judge(subject, reference, metrics, given, sweep=sweep, as_json=as_json, quiet=quiet)

    return command


def judge(
    subject: Path,
    reference: Path,
    metrics: Sequence[str] | None,
    given: dict[str, Any],
    *,
    sweep: str | None,
    as_json: bool,
    quiet: bool,
    name: str | None = None,
) -> None:
    """Run the evaluation, or the sweep, and print what came of it."""
    from facegen.cli.console import make_progress
    from facegen.cli.results import print_json
    from facegen.evaluation.distribution import DistributionOptions, evaluate_distribution

    options, progress = DistributionOptions(**given), make_progress(quiet=quiet)
    if sweep is not None:
        from facegen.evaluation.sweep import read_sweep, sweep_distribution

        swept = sweep_distribution(subject, reference, read_sweep(sweep), metrics, options, progress)
        print_json(swept) if as_json else print_sweep(swept)
        return
    report = evaluate_distribution(subject, reference, metrics, options, progress, name=name)
    print_json(report) if as_json else print_distribution(report)


def print_distribution(report: DistributionReport) -> None:
    """A row a score with its interval and what stands beside it, then the counts, settings and remarks."""
    from facegen.cli.results import print_facts, print_table

    real = "real faces" if report.floor is None else f"real faces ({report.floor['method']})"
    columns = ("score", "this one", "estimate", "95 % interval", real, "after the autoencoder", "better")
    print_table(
        f"{report.num_samples:,} images against {report.num_reference:,} real faces ({report.split})",
        columns,
        [
            (name, row.value, row.estimate, reach(row), row.floor, row.ceiling, row.better)
            for name, row in report.scores.items()
        ],
    )
    mark = report.fingerprint
    print_facts(
        {
            "Network": f"{report.features} ({mark['features']}), {report.num_features:,} features",
            "Images": f"{mark['image_size']} pixels, {mark['bits']} bit, {mark['compression']}",
            "Interval of": report.main.interval_of or None,
            "Remark": "\n".join(report.remarks) or None,
            "Saved to": report.saved_to,
        }
    )


def print_sweep(report: SweepReport) -> None:
    """A row a setting, a column a score with its interval."""
    from facegen.cli.results import print_facts, print_table

    names = list(report.reports[0].scores)
    rows = []
    for value, found in zip(report.values, report.reports, strict=True):
        cells: list[Any] = [float(value)]
        for name in names:
            cells += [found.scores[name].value, reach(found.scores[name])]
        rows.append([*cells, "yes" if value in report.pareto else ""])
    columns = [report.setting, *(column for name in names for column in (name, "95 %")), "not beaten in both"]
    print_table(f"{report.reports[0].num_samples:,} images each", columns, rows)
    print_facts({"Plot": report.plot, "Saved to": report.saved_to})


def reach(row: ScoreRow) -> str | None:
    """A score's interval, as "12.1 to 13.4"."""
    from facegen.cli.results import cell_text

    if row.low is None or row.high is None:
        return None
    return f"{cell_text(row.low)} to {cell_text(row.high)}"
