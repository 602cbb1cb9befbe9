"""How large the demo is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from facegen.options import Option


@dataclass(frozen=True)
class DemoOptions:
    """`minutes` is the wall-clock goal: what the other stages leave goes to the generator's training."""

    minutes: Annotated[float, Option("Time to fill on 2 CPU cores; less gives coarser faces.", min=0.1)] = 8.0
    seed: Annotated[int, Option("Another seed gives other avatars and other faces.", min=0)] = 0
    size: Annotated[Literal["full", "smoke"], Option("smoke: as small as can be, to try it out.")] = "full"
    num_avatars: int = 9000
    num_scored: int = 500
