"""`facegen verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.command import command
from facegen.cli.completion import run_folders
from facegen.cli.results import print_facts, print_table
from facegen.options import Option

if TYPE_CHECKING:
    from facegen.verification.findings import Verification


def _print(result: Verification) -> None:
    odd = [one for one in result.findings if one.state != "whole"]
    print_table("Found", ("what", "state", "about"), [(one.thing, one.state, one.about) for one in odd])
    whole = len(result.findings) - len(odd)
    print_facts({"Kind": result.kind, "Whole": f"{whole} of {len(result.findings)}"})


@command(_print)
def verify(
    path: Annotated[
        Path,
        Argument(help="A data set, latents, a run, a checkpoint or a picture.", autocompletion=run_folders),
    ],
    repair: Annotated[bool, Option("Mend a run from what still stands.")] = False,
) -> Verification:
    """Say what is whole, what is damaged, and what does not belong together.

    Every file is compared with its checksum, and a run or latents with the data and autoencoder that they say
    they were made of. Exit code 5 where something is wrong, with the command that mends it.

        facegen verify runs/celeba
        facegen verify latents/celeba
        facegen verify samples/0001/seed-00000003.png
        facegen verify runs/celeba --repair
    """
    from facegen.verification.verify import verify

    return verify(path, repair=repair)
