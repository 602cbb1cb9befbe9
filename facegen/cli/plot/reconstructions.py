"""`facegen plot reconstructions`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facegen.cli.options import Device, Json, described
from facegen.cli.plot.options import Csv, Out, Show, tell

ABOUT = (
    "Pictures, what an autoencoder makes of them, and the difference.",
    "PSNR stands under each; 'facegen eval reconstruction' has scores of a whole data set.",
)
EXAMPLES = (
    "facegen plot reconstructions runs/autoencoder data/celeba",
    "facegen plot reconstructions runs/autoencoder data/celeba --amplify 8",
)


def register(group: typer.Typer) -> None:
    group.command("reconstructions", **described(ABOUT, *EXAMPLES))(reconstructions)


def reconstructions(
    autoencoder: Annotated[
        str,
        typer.Argument(help="An autoencoder's run or folder, a hub name, or 'identity'.", show_default=False),
    ],
    dataset: Annotated[
        Path, typer.Argument(help="A data set made by 'facegen prepare'.", show_default=False)
    ],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "validation",
    count: Annotated[int, typer.Option(help="Pictures.", min=1)] = 8,
    seed: Annotated[int, typer.Option(help="Which pictures are drawn.", min=0)] = 0,
    amplify: Annotated[float, typer.Option(help="How many times larger the difference is shown.")] = 4.0,
    out: Out = None,
    csv: Csv = False,
    show: Show = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    from facegen.plotting.reconstructions import plot_reconstructions

    summary = plot_reconstructions(
        autoencoder,
        dataset,
        out,
        split=split,
        count=count,
        seed=seed,
        amplify=amplify,
        device=device,
        csv=csv,
    )
    tell(summary, as_json=as_json, show=show)
