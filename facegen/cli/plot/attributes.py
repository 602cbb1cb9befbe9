"""`facegen plot attributes`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facegen.cli.options import Json, described
from facegen.cli.plot.options import Csv, Out, Show, tell

ABOUT = (
    "How the labels of a data set are balanced, and which go together.",
    "Shares of every attribute and class, phi between all attributes, histograms of numbers such as age.",
)
EXAMPLES = (
    "facegen plot attributes data/celeba",
    "facegen plot attributes latents --split validation --out labels.pdf --csv",
)


def register(group: typer.Typer) -> None:
    group.command("attributes", **described(ABOUT, *EXAMPLES))(attributes)


def attributes(
    dataset: Annotated[
        Path, typer.Argument(help="A data set made by 'facegen prepare', or latents.", show_default=False)
    ],
    split: Annotated[str, typer.Option(help="Which images: train, validation or test.")] = "train",
    out: Out = None,
    csv: Csv = False,
    show: Show = None,
    as_json: Json = False,
) -> None:
    from facegen.plotting.attributes import plot_attributes

    tell(plot_attributes(dataset, out, split=split, csv=csv), as_json=as_json, show=show)
