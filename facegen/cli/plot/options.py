"""Options that the subcommands of `facegen plot` share, and how their results are told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegen.cli.options import TALK

if TYPE_CHECKING:
    from facegen.plotting.saving import PlotSummary

Out = Annotated[
    Path | None,
    typer.Option(help="File to write: .png, .svg or .pdf.", show_default="plots/SUBJECT-NAME.png"),
]
Csv = Annotated[bool, typer.Option("--csv", help="Write the numbers behind the figure beside it.")]
Show = Annotated[
    bool | None,
    typer.Option(
        "--show/--no-show",
        help="Show the picture in the terminal; left out: where it can.",
        show_default=False,
        rich_help_panel=TALK,
    ),
]


def tell(summary: PlotSummary, *, as_json: bool, show: bool | None) -> None:
    """Print the summary and, on a terminal that can, the picture."""
    from facegen.cli.preview import show_picture
    from facegen.cli.results import print_facts, print_json

    if as_json:
        print_json(summary)
        return
    print_facts({"Figure": summary.path, "Numbers": summary.csv, **summary.facts})
    show_picture(summary.path, show)
