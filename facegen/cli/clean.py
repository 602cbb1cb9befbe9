"""`facegen clean`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegen.cli.command import command
from facegen.cli.completion import run_folders
from facegen.cli.results import print_facts, print_table
from facegen.housekeeping.options import CleanOptions
from facegen.options import Option

if TYPE_CHECKING:
    from facegen.housekeeping.clean import Cleaning

MOST_TOLD = 10  # paths of a kind
START = CleanOptions()


def _print(found: Cleaning) -> None:
    from facegen.formats.disk import size_text

    rows = [(one.kind, len(one.paths), size_text(one.size_bytes)) for one in found.things if one.paths]
    print_table("Removed" if found.removed else "Can be made again", ("kind", "number", "size"), rows)
    for one in found.things if not found.removed else ():
        more = len(one.paths) - MOST_TOLD
        print(one.kind, *one.paths[:MOST_TOLD], *([f"... and {more:,} more"] if more > 0 else []), sep="\n  ")
    left = "\n".join(f"{path}: {why}" for path, why in found.left.items()) or None
    looked_in = ", ".join(f"'{folder}'" for folder in found.looked_in)
    size = size_text(found.size_bytes)
    told = f"{size} freed" if found.removed else f"{size}; nothing is removed: add --yes to do that"
    if not found.removed and not rows:
        told = "nothing to remove"
    print_facts({"Looked in": looked_in, "Left": left, "In all": told})


@command(_print, opens_models=False)
def clean(
    path: Annotated[
        Path | None,
        typer.Argument(
            help="A run, or a folder with runs.",
            show_default="this folder and the cache",
            autocompletion=run_folders,
        ),
    ] = None,
    options: CleanOptions = START,
    yes: Annotated[bool, Option("Remove it.", names=("--yes", "-y"))] = False,
) -> Cleaning:
    """Tell what can be made again and how much room it takes; with --yes it goes.

    Temporary files of killed commands, killed saves, features of images that facegen keeps in its cache,
    copies of far data. Without --yes it only tells. Data sets, latents, pictures, reports, the only weights
    there are, and runs in use are never touched.

        facegen clean
        facegen clean runs --checkpoints
        facegen clean runs/celeba --checkpoints --yes
    """
    from facegen.housekeeping.clean import look, remove

    found = look(path, options)
    return remove(found, options) if yes and found.things else found
