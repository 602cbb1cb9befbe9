"""`facegen plot reconstructions`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.plot.figure import Csv, Out, figure
from facegen.options import Device, Option

if TYPE_CHECKING:
    from facegen.plotting.saving import PlotSummary


@figure
def reconstructions(
    autoencoder: Annotated[str, Argument(help="An autoencoder's run or folder, a hub name, or 'identity'.")],
    dataset: Annotated[Path, Argument(help="A data set made by 'facegen prepare'.")],
    split: Annotated[str, Option("train, validation or test.")] = "validation",
    count: Annotated[int, Option("Pictures.", min=1)] = 8,
    seed: Annotated[int, Option("Which pictures are drawn.", min=0)] = 0,
    amplify: Annotated[float, Option("How many times larger the difference is shown.")] = 4.0,
    device: Device = "auto",
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """Pictures, what an autoencoder makes of them, and the difference.

    PSNR stands under each; 'facegen eval reconstruction' has scores of a whole data set.

        facegen plot reconstructions runs/autoencoder data/celeba
        facegen plot reconstructions runs/autoencoder data/celeba --amplify 8
    """
    from facegen.plotting.reconstructions import plot_reconstructions

    drawn = {"split": split, "count": count, "seed": seed, "amplify": amplify, "device": device}
    return plot_reconstructions(autoencoder, dataset, out, **drawn, csv=csv)
