"""`facegen eval precision-recall`."""

from __future__ import annotations

import typer

from facegen.cli.evaluate.distribution import distribution_command
from facegen.cli.options import described

ABOUT = (
    "Tell fidelity and variety apart: precision, recall, density and coverage.",
    "Precision is the share of generated faces that lie among real ones, recall the share of real ones that"
    " lie among the generated.",
)
EXAMPLES = (
    "facegen eval precision-recall run --reference data/celeba",
    "facegen eval precision-recall run --reference data/celeba --guidance 3",
)


def register(group: typer.Typer) -> None:
    command = distribution_command(("precision_recall",), "vgg16")  # as published
    group.command("precision-recall", **described(ABOUT, *EXAMPLES))(command)
