"""`facegen eval inception-score`."""

from __future__ import annotations

import typer

from facegen.cli.evaluate.distribution import distribution_command
from facegen.cli.options import described

ABOUT = (
    "The Inception score, as published: higher is better.",
    "Its classes are ImageNet's, so of faces it says little; here to compare with papers. Needs Inception.",
)
EXAMPLES = ("facegen eval inception-score run --reference data/celeba --num-samples 5000",)


def register(group: typer.Typer) -> None:
    command = distribution_command(("inception_score",))
    group.command("inception-score", **described(ABOUT, *EXAMPLES))(command)
