"""`facegen plot attributes`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.plot.figure import Csv, Out, figure
from facegen.options import Option

if TYPE_CHECKING:
    from facegen.plotting.saving import PlotSummary


@figure
def attributes(
    dataset: Annotated[Path, Argument(help="A data set made by 'facegen prepare', or latents.")],
    split: Annotated[str, Option("Which images: train, validation or test.")] = "train",
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """How the labels of a data set are balanced, and which go together.

    Shares of every attribute and class, phi between all attributes, histograms of numbers such as age.

        facegen plot attributes data/celeba
        facegen plot attributes latents --split validation --out labels.pdf --csv
    """
    from facegen.plotting.attributes import plot_attributes

    return plot_attributes(dataset, out, split=split, csv=csv)
