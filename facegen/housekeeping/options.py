"""Options of `facegen clean`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from facegen.options import Option


@dataclass(frozen=True)
class CleanOptions:
    """What may go beside what nothing reads any more."""

    checkpoints: Annotated[
        bool, Option("Of finished runs also checkpoints other than the best and the newest.")
    ] = False
    unfinished: Annotated[
        bool, Option("Also what stopped 'sample' and 'prepare' commands would go on with.")
    ] = False
