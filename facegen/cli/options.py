"""Options that several commands share, so that one word means one thing everywhere."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypedDict

import typer

TALK, HARDWARE = "Output", "Hardware"  # panels of the help


class HelpTexts(TypedDict):
    """What typer calls them."""

    help: str
    short_help: str


def described(about: tuple[str, str], *examples: str) -> HelpTexts:
    """`help` and `short_help` of a command: what it does, more about it, and an Examples section.

    Used as `app.command(name, **described(...))`; examples are real command lines of 76 characters at most.
    """
    lines = "\n".join(f"  [cyan]{example.replace('[', chr(92) + '[')}[/]" for example in examples)
    text = f"{about[0]}\n\n{about[1]}\n\n\b\n[bold]Examples[/]\n{lines}"
    return {"help": text, "short_help": about[0]}


Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.", rich_help_panel=TALK)
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON on stdout.", rich_help_panel=TALK)
]
Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda, cuda:1, mps; auto takes the fastest.", rich_help_panel=HARDWARE)
]
Run = Annotated[
    Path, typer.Argument(help="A run made by 'facegen train', or one of its checkpoints.", show_default=False)
]


class Size(StrEnum):
    """`smoke` is a few-step size of everything, to try the machinery out in seconds."""

    FULL = "full"
    SMOKE = "smoke"
