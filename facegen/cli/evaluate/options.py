"""Options that the subcommands of `facegen eval` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SAMPLING = "Sampling (the run's own where left out)"
Guidance = Annotated[
    float | None, typer.Option(help="Guidance scale; 1 is off.", min=0, rich_help_panel=SAMPLING)
]
Steps = Annotated[int | None, typer.Option(help="Sampler steps.", min=1, rich_help_panel=SAMPLING)]
Seed = Annotated[int, typer.Option(help="Seed of the first image.", min=0)]
Subject = Annotated[
    Path, typer.Argument(help="A run, a folder of images, or a data set.", show_default=False)
]
