"""What may be asked of a run's life beside its recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from facegen.options import Option

LIFE = "Life of a run"  # panel of the help


@dataclass(frozen=True)
class LifeOptions:
    """How a run begins or goes on: longer, or from another run's weights."""

    extend: Annotated[
        int | None, Option("Make the run so many steps longer, and go on with it.", LIFE, min=1)
    ] = None
    after_decay: Annotated[
        Literal["new-cycle", "last-rate"] | None,
        Option("How the learning rate goes on after a decay that has ended.", LIFE),
    ] = None
    source: Annotated[
        Path | None,
        Option(
            "Begin a new run with the weights of this run, checkpoint, folder of diffusers or checkpoint of "
            "denoising-diffusion-pytorch.",
            LIFE,
            names=("--from",),
            completes="runs",
        ),
    ] = None
    weights: Annotated[Literal["ema", "model"], Option("Which weights --from takes.", LIFE)] = "ema"


AS_IT_IS = LifeOptions()
