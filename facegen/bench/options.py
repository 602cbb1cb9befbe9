"""How it is measured how fast facegen is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from facegen.options import Option

STAGES = ("load", "prepare", "encode", "train", "sample", "eval", "startup")
ALL = "all"


@dataclass(frozen=True)
class BenchOptions:
    """What becomes of the numbers, and how long measuring may take."""

    out: Annotated[Path | None, Option("Write the result there: .json, or a picture (.png, .svg, .pdf).")] = (
        None
    )
    quick: Annotated[bool, Option("Small sizes and three rounds: does it work, not how fast is it.")] = False
    compare: Annotated[
        Path | None, Option("JSON of an earlier result of this machine: what became slower?")
    ] = None
