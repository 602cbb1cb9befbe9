"""What several subcommands of `facegen eval` take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument

from facegen.cli.completion import run_folders
from facegen.options import Option

REAL_FACES = "Real faces: a folder made by 'facegen prepare'."
JUDGE = "A classifier run made by 'facegen train'."
Subject = Annotated[
    Path,
    Argument(
        help="A run, a pipeline of diffusers, a folder of images, or a data set.", autocompletion=run_folders
    ),
]
RealFaces = Annotated[Path, Argument(help=REAL_FACES)]
Reference = Annotated[Path, Option(REAL_FACES)]
Judge = Annotated[Path, Option(JUDGE, completes="runs")]
