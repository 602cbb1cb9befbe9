"""`facegen eval kid`."""

from __future__ import annotations

import typer

from facegen.cli.evaluate.distribution import distribution_command
from facegen.cli.options import described

ABOUT = (
    "Score how close generated faces are to real ones, as a kernel distance: lower is better.",
    "Unbiased, so that few images only widen its interval; the score to trust below some thousand images.",
)
EXAMPLES = (
    "facegen eval kid run --reference data/celeba --num-samples 2000",
    "facegen eval kid my_images --reference data/celeba --features clip",
)


def register(group: typer.Typer) -> None:
    group.command("kid", **described(ABOUT, *EXAMPLES))(distribution_command(("kid",)))
