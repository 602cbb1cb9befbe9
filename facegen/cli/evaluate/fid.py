"""`facegen eval fid`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegen.cli.completion import feature_networks
from facegen.cli.evaluate.options import Guidance, Seed, Steps, Subject
from facegen.cli.options import HARDWARE, Device, Json, Quiet, described

if TYPE_CHECKING:
    from facegen.evaluation.scores import FidReport

ABOUT = (
    "Score how close generated faces are to real ones, as a Fréchet distance: lower is better.",
    "Shown beside it: what real faces reach among themselves, and through the run's autoencoder. Distances"
    " compare only at equal features, counts and reference.",
)
EXAMPLES = (
    "facegen eval fid run --reference data/celeba --num-samples 10000",
    "facegen eval fid run --reference data/celeba --features classifier:judge",
    "facegen eval fid my_images --reference data/celeba --weights inception.pth",
)


def register(group: typer.Typer) -> None:
    group.command("fid", **described(ABOUT, *EXAMPLES))(fid)


def fid(
    subject: Subject,
    reference: Annotated[
        Path, typer.Option(help="Real faces: a folder made by 'facegen prepare'.", show_default=False)
    ],
    features: Annotated[
        str,
        typer.Option(
            help="inception, clip, vgg16, dinov2, or classifier:RUN, a classifier of yours (offline).",
            autocompletion=feature_networks,
        ),
    ] = "inception",
    weights: Annotated[
        Path | None, typer.Option(help="File with the feature network's weights; left out: downloaded once.")
    ] = None,
    num_samples: Annotated[
        int | None, typer.Option(help="Images to compare; left out: 1,000 drawn, or all of a folder.", min=1)
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the reference.")] = "train",
    seed: Seed = 0,
    guidance: Guidance = None,
    steps: Steps = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images at once.", min=1, rich_help_panel=HARDWARE)
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    from facegen.cli.console import make_progress
    from facegen.cli.results import print_json
    from facegen.workflows.evaluate_fid import FidOptions, evaluate_fid

    options = FidOptions(
        features=features,
        weights=weights,
        num_samples=num_samples,
        split=split,
        seed=seed,
        guidance=guidance,
        steps=steps,
        batch_size=batch_size,
        device=device,
    )
    report = evaluate_fid(subject, reference, options, make_progress(quiet=quiet))
    if as_json:
        print_json(report)
    else:
        _print_fid(report)


def _print_fid(report: FidReport) -> None:
    from facegen.cli.results import print_facts, print_table

    floor, ceiling = report.floor, report.ceiling
    rows: list[tuple[str, float, int]] = [("this one", report.score, report.num_samples)]
    if ceiling is not None:
        score, count = float(ceiling["score"]), int(ceiling["num_samples"])
        rows.append(("real faces through the autoencoder", score, count))
    if floor is not None:
        rows.append((f"real faces ({floor.method})", floor.score, floor.num_samples))
    title = f"Fréchet distance, {report.features} features, against {report.num_reference:,} real faces"
    print_table(title, ("what", "distance", "images"), rows)
    print_facts({"Remark": "\n".join(report.remarks) or None, "Saved to": report.saved_to})
