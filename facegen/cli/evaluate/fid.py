"""`facegen eval fid`."""

from __future__ import annotations

import typer

from facegen.cli.evaluate.distribution import distribution_command
from facegen.cli.options import described

ABOUT = (
    "Score how close generated faces are to real ones, as a Fréchet distance: lower is better.",
    "Shown beside it: its interval with the bias of small samples taken off, what real faces reach among"
    " themselves, and through the run's autoencoder. Distances compare only at equal features, counts and"
    " reference.",
)
EXAMPLES = (
    "facegen eval fid run --reference data/celeba --num-samples 10000",
    "facegen eval fid run --reference data/celeba --features classifier:judge",
    "facegen eval fid my_images --reference data/celeba --weights inception.pth",
    "facegen eval fid run --reference data/celeba --sweep guidance=1,1.5,2,3",
)


def register(group: typer.Typer) -> None:
    group.command("fid", **described(ABOUT, *EXAMPLES))(distribution_command(("fid",)))
