"""Options of `facegen export`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from facegen.options import Option

Format = Literal["diffusers", "safetensors", "onnx", "page"]


@dataclass(frozen=True)
class ExportOptions:
    """`to` is what is made, `seed` that of the pictures by which it is compared with facegen's."""

    to: Annotated[Format, Option("What is made.")] = "diffusers"
    seed: Annotated[int, Option("Seed of the pictures that are compared.")] = 0
    weights: Annotated[Literal["ema", "model"], Option("ema: averaged; model: as last trained.")] = "ema"
