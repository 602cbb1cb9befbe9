"""`facegen eval all`."""

from __future__ import annotations

import typer

from facegen.cli.evaluate.distribution import distribution_command
from facegen.cli.options import described

ABOUT = (
    "All scores of closeness that the features allow, from one drawing of the images.",
    "FID, KID, precision and recall, density and coverage, and with Inception features the Inception score.",
)
EXAMPLES = (
    "facegen eval all run --reference data/celeba --features classifier:judge",
    "facegen eval all run --reference data/celeba --num-samples 10000",
)


def register(group: typer.Typer) -> None:
    group.command("all", **described(ABOUT, *EXAMPLES))(distribution_command(None))
