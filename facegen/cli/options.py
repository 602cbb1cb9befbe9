"""What several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument

Run = Annotated[Path, Argument(help="A run made by 'facegen train', or one of its checkpoints.")]
PreparedFolder = Annotated[Path, Argument(help="Folder made by 'facegen prepare'.")]
