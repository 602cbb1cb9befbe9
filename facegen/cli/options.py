"""What several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument

from facegen.cli.completion import run_folders
from facegen.options import Option

RunOrBox = Annotated[
    Path | None,
    Argument(
        metavar="[RUN]",
        show_default=False,
        help="A run of 'facegen train', a checkpoint, or a pipeline of diffusers; else the one in the box.",
        autocompletion=run_folders,
    ),
]
Run = Annotated[
    Path,
    Argument(
        help="A run of 'facegen train', a checkpoint, or a pipeline of diffusers.", autocompletion=run_folders
    ),
]
DryRun = Annotated[bool, Option("Tell time, memory and disk, tried on a little of it, and make nothing.")]
PreparedFolder = Annotated[Path, Argument(help="Folder made by 'facegen prepare'.")]
