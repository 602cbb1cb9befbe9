"""`facegen plot architecture`."""

from __future__ import annotations

from typing import Annotated

import typer

from facegen.cli.options import Json, described
from facegen.cli.plot.options import Csv, Out, Show, tell

ABOUT = (
    "The network on one page: shapes, parameters, where conditions enter.",
    "Takes a run, a checkpoint, or the name of a preset. Drawn from the module itself; a PNG has 600 DPI.",
)
EXAMPLES = (
    "facegen plot architecture runs/celeba",
    "facegen plot architecture attribute-ldm --out network.pdf --csv",
    "facegen plot architecture text-ldm --depth 1",
)


def register(group: typer.Typer) -> None:
    group.command("architecture", **described(ABOUT, *EXAMPLES))(architecture)


def architecture(
    subject: Annotated[
        str, typer.Argument(help="A run, a checkpoint, or a preset's name.", show_default=False)
    ],
    depth: Annotated[int, typer.Option(help="1: stages; 2: their blocks; 3: the parts of the blocks.")] = 2,
    out: Out = None,
    csv: Csv = False,
    show: Show = None,
    as_json: Json = False,
) -> None:
    from facegen.plotting.architecture.architecture import plot_architecture

    tell(plot_architecture(subject, out, depth=depth, csv=csv), as_json=as_json, show=show)
