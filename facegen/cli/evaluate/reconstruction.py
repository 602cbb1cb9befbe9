"""`facegen eval reconstruction`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facegen.cli.completion import feature_networks
from facegen.cli.evaluate.options import Seed
from facegen.cli.options import HARDWARE, Device, Json, Quiet, described

if TYPE_CHECKING:
    from facegen.evaluation.reconstruction import ReconstructionReport

ABOUT = (
    "Measure what an autoencoder loses: PSNR, SSIM, a perceptual and a Fréchet distance.",
    "Means with intervals, the worst twentieth of the images, and a picture of the very worst. A generator"
    " on its latents can hardly do better.",
)
EXAMPLES = (
    "facegen eval reconstruction runs/ae data/celeba",
    "facegen eval reconstruction runs/ae data/celeba --distance classifier:judge",
    "facegen eval reconstruction vae_folder data/celeba --out vae.json",
)


def register(group: typer.Typer) -> None:
    group.command("reconstruction", **described(ABOUT, *EXAMPLES))(reconstruction)


def reconstruction(
    autoencoder: Annotated[
        str,
        typer.Argument(help="A run, a folder of diffusers, a hub name, or 'identity'.", show_default=False),
    ],
    dataset: Annotated[
        Path, typer.Argument(help="Real faces: a folder made by 'facegen prepare'.", show_default=False)
    ],
    distance: Annotated[
        str | None, typer.Option(help="Perceptual distance: lpips, or classifier:RUN, a classifier of yours.")
    ] = None,
    lpips_weights: Annotated[
        Path | None, typer.Option(help="File with LPIPS's weights; left out: downloaded once.")
    ] = None,
    vgg16_weights: Annotated[
        Path | None, typer.Option(help="File with VGG-16's weights, for lpips; left out: downloaded once.")
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="Features of a Fréchet distance: inception, clip, vgg16, dinov2, or classifier:RUN.",
            autocompletion=feature_networks,
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="File with the feature network's weights; left out: downloaded once.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split whose images are reconstructed.")] = "validation",
    num_samples: Annotated[
        int | None, typer.Option(help="Images; left out: all of the split.", min=1)
    ] = None,
    worst_images: Annotated[int, typer.Option(help="Images in the picture of the worst.", min=1)] = 16,
    out: Annotated[
        Path | None, typer.Option(help="Report file, the picture beside it; left out: in RUN/evaluations.")
    ] = None,
    seed: Seed = 0,
    batch_size: Annotated[int, typer.Option(help="Images at once.", min=1, rich_help_panel=HARDWARE)] = 64,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    from facegen.cli.console import make_progress
    from facegen.cli.results import print_json
    from facegen.evaluation.reconstruction import ReconstructionOptions, evaluate_reconstruction

    options = ReconstructionOptions(
        split=split,
        num_samples=num_samples,
        distance=distance,
        lpips_weights=lpips_weights,
        vgg16_weights=vgg16_weights,
        features=features,
        weights=weights,
        worst_images=worst_images,
        out=out,
        batch_size=batch_size,
        seed=seed,
        device=device,
    )
    report = evaluate_reconstruction(autoencoder, dataset, options, make_progress(quiet=quiet))
    if as_json:
        print_json(report)
    else:
        _print_reconstruction(report)


def _print_reconstruction(report: ReconstructionReport) -> None:
    from facegen.cli.results import print_facts, print_table

    rows = [_row("PSNR in dB", report.psnr), _row("SSIM", report.ssim)]
    if report.distance is not None:
        rows.append(_row(str(report.distance_name), report.distance))
    if report.frechet is not None:
        found = report.frechet
        title = f"Fréchet distance, {report.features}"
        rows.append((title, float(found["score"]), _interval(found), None))
    shape = "x".join(map(str, report.latent_shape))
    print_table(
        f"Reconstructions of {report.num_samples:,} images ({report.split}) through latents of {shape}",
        ("what", "mean", "95 % interval", "worst 5 %"),
        rows,
    )
    print_facts(
        {
            "Remark": "\n".join(report.remarks) or None,
            "Worst images": report.picture,
            "Saved to": report.saved_to,
        }
    )


def _row(name: str, found: Mapping[str, Any]) -> tuple[Any, ...]:
    return name, found["mean"], _interval(found), found["worst_5_percent"]


def _interval(found: Mapping[str, Any]) -> str:
    return f"{found['low']:.4g}–{found['high']:.4g}"
