"""`facegen plot curves`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facegen.cli.options import Json, described
from facegen.cli.plot.options import Csv, Out, Show, tell

ABOUT = (
    "Losses and scores over training, of one run or of several.",
    "A panel for each number that was logged; held-out losses also by noise level.",
)
EXAMPLES = (
    "facegen plot curves runs/celeba",
    "facegen plot curves runs/a runs/b --metric loss --smooth 500 --csv",
)


def register(group: typer.Typer) -> None:
    group.command("curves", **described(ABOUT, *EXAMPLES))(curves)


def curves(
    runs: Annotated[list[Path], typer.Argument(help="Runs made by 'facegen train'.", show_default=False)],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Draw this number; repeat for more. Left out: all of learning.", show_default=False
        ),
    ] = None,
    smooth: Annotated[
        float,
        typer.Option(help="Smooth training over so many steps, or a share of the run below 1; 0: not."),
    ] = 0.01,
    out: Out = None,
    csv: Csv = False,
    show: Show = None,
    as_json: Json = False,
) -> None:
    from facegen.plotting.curves import plot_curves

    tell(plot_curves(runs, out, metrics=metric or (), smooth=smooth, csv=csv), as_json=as_json, show=show)
