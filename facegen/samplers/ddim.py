"""DDIM: a deterministic walk for eta = 0, DDPM's noise for eta = 1.

Song et al. 2020 (arXiv:2010.02502, eqs. 12 and 16). Equal to diffusers' DDIMScheduler of the same
spacing and `set_alpha_to_one`, without clipping of x0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pydantic import Field

from facegen.config.kinds import KindConfig
from facegen.diffusion.denoiser import BoundDenoiser
from facegen.diffusion.walk import (
    MakeSampler,
    Spacing,
    StepNoise,
    fresh_noise,
    leading,
    moves,
    posterior_std,
    trailing,
)
from facegen.shapes import States
from facegen.types import SamplerStep


class Config(KindConfig, frozen=True):
    """`eta` is the share of DDPM's noise; `spacing: leading` is the paper's, to repeat published numbers.

    50 steps are usual.
    """

    kind: Literal["ddim"] = "ddim"
    eta: float = Field(default=0.0, ge=0, le=1)
    """Share of DDPM's noise; 0 is without."""
    spacing: Literal["trailing", "leading"] = "trailing"
    """Which timesteps are walked; `leading` is the paper's, to repeat published numbers."""


@dataclass(frozen=True)
class DDIM:
    denoiser: BoundDenoiser
    steps: int
    spacing: Spacing = trailing
    eta: float = 0.0

    def __call__(self, noise: States, step_noise: StepNoise = fresh_noise) -> Iterator[SamplerStep]:
        path = self.denoiser.path
        x = path.start(noise)
        for index, (here, there) in enumerate(moves(path, self.spacing(path, self.steps))):
            prediction = self.denoiser(x, here.batch(x))
            std = self.eta * posterior_std(here, there)
            x = there.alpha * prediction.x0 + max(there.sigma**2 - std**2, 0.0) ** 0.5 * prediction.eps
            if std > 0:
                x = x + std * step_noise(index, x)
            yield SamplerStep(index, self.steps, there.timestep, x, prediction.x0)


def build(config: Config) -> MakeSampler:
    return partial(DDIM, spacing={"trailing": trailing, "leading": leading}[config.spacing], eta=config.eta)
