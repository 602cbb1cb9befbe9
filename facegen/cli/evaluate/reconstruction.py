"""`facegen eval reconstruction`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from facegen.cli.command import command
from facegen.cli.evaluate.options import RealFaces
from facegen.cli.results import print_facts, print_table
from facegen.evaluation.options import ReconstructionOptions

if TYPE_CHECKING:
    from facegen.evaluation.reconstruction import ReconstructionReport
    from facegen.protocols import Progress


def _print(report: ReconstructionReport) -> None:
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


@command(_print)
def reconstruction(
    autoencoder: Annotated[str, Argument(help="A run, a folder of diffusers, a hub name, or 'identity'.")],
    dataset: RealFaces,
    options: ReconstructionOptions,
    progress: Progress,
) -> ReconstructionReport:
    """Measure what an autoencoder loses: PSNR, SSIM, a perceptual and a Fréchet distance.

    Means with intervals, the worst twentieth of the images, and a picture of the very worst. A generator on
    its latents can hardly do better.

        facegen eval reconstruction runs/ae data/celeba
        facegen eval reconstruction runs/ae data/celeba --distance classifier:judge
        facegen eval reconstruction vae_folder data/celeba --out vae.json
    """
    from facegen.evaluation.reconstruction import evaluate_reconstruction

    return evaluate_reconstruction(autoencoder, dataset, options, progress)
