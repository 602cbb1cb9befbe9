"""`facegen eval reconstruction`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.command import command
from facegen.cli.evaluate.options import RealFaces
from facegen.cli.results import print_evaluation
from facegen.evaluation.options import ReconstructionOptions

if TYPE_CHECKING:
    from facegen.evaluation.reconstruction import ReconstructionReport
    from facegen.protocols import Progress


@command(print_evaluation)
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
