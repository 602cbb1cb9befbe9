"""`facegen plot`: one file a subcommand, each with `ABOUT`, `EXAMPLES` and `register`."""

from __future__ import annotations

import typer

from facegen.cli.options import described
from facegen.cli.plot import (
    animation,
    architecture,
    attention,
    attributes,
    blend,
    curves,
    denoising,
    interpolation,
    latents,
    reconstructions,
    samples,
    schedule,
    timelapse,
)

ABOUT = (
    "Draw what a run or a data set has to show.",
    "Figures are saved as PNG, SVG or PDF by their suffix; --csv writes the numbers behind them.",
)
SUBCOMMANDS = (
    schedule,
    architecture,
    curves,
    attributes,
    samples,
    denoising,
    animation,
    reconstructions,
    blend,
    interpolation,
    timelapse,
    latents,
    attention,
)


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
    for subcommand in SUBCOMMANDS:
        subcommand.register(group)
    app.add_typer(group, name="plot", **described(ABOUT, *(module.EXAMPLES[0] for module in SUBCOMMANDS)))
