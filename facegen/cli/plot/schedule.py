"""`facegen plot schedule`."""

from __future__ import annotations

from typing import Annotated

import typer

from facegen.cli.options import Json, described
from facegen.cli.plot.options import Csv, Out, Show, tell

ABOUT = (
    "Noise over time: alphas, SNR, and where training looks.",
    "Takes a run, a checkpoint, or the name of a preset.",
)
EXAMPLES = (
    "facegen plot schedule runs/celeba",
    "facegen plot schedule celeba-attributes --out schedule.svg --csv",
)


def register(group: typer.Typer) -> None:
    group.command("schedule", **described(ABOUT, *EXAMPLES))(schedule)


def schedule(
    subject: Annotated[
        str, typer.Argument(help="A run, a checkpoint, or a preset's name.", show_default=False)
    ],
    out: Out = None,
    csv: Csv = False,
    show: Show = None,
    as_json: Json = False,
) -> None:
    from facegen.plotting.schedule import plot_schedule

    tell(plot_schedule(subject, out, csv=csv), as_json=as_json, show=show)
