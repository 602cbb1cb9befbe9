"""`facegen plot curves`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.plot.figure import Csv, Out, figure
from facegen.options import Option

if TYPE_CHECKING:
    from facegen.plotting.saving import PlotSummary


@figure
def curves(
    runs: Annotated[list[Path], Argument(help="Runs made by 'facegen train'.")],
    metric: Annotated[
        tuple[str, ...], Option("Draw this number; repeat for more. Left out: all of learning.")
    ] = (),
    smooth: Annotated[
        float, Option("Smooth training over so many steps, or a share of the run below 1; 0: not.")
    ] = 0.01,
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """Losses and scores over training, of one run or of several.

    A panel for each number that was logged; held-out losses also by noise level.

        facegen plot curves runs/celeba
        facegen plot curves runs/a runs/b --metric loss --smooth 500 --csv
    """
    from facegen.plotting.curves import plot_curves

    return plot_curves(runs, out, metrics=metric, smooth=smooth, csv=csv)
