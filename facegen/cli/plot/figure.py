"""Commands that draw a figure: what they take, and how their results are told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facegen.cli.command import TALK, command
from facegen.cli.preview import show_picture
from facegen.cli.results import print_facts
from facegen.options import Option

if TYPE_CHECKING:
    from facegen.plotting.saving import PlotSummary

Out = Annotated[
    Path | None, Option("File to write: .png, .svg or .pdf.", shown_default="plots/SUBJECT-NAME.png")
]
Csv = Annotated[bool, Option("Write the numbers behind the figure beside it.")]
Show = Annotated[
    bool | None,
    Option("Show the picture in the terminal; left out: where it can.", TALK, names=("--show/--no-show",)),
]


def tell(summary: PlotSummary, show: Show = None) -> None:
    """Print the summary and, on a terminal that can, the picture."""
    print_facts({"Figure": summary.path, "Numbers": summary.csv, **summary.facts})
    show_picture(summary.path, show)


figure = command(tell)
