"""Ancestral sampling: every step draws from the posterior q(x_s | x_t, x0) at the predicted x0.

Ho et al. 2020 (arXiv:2006.11239, eqs. 6-7), "fixed small" variance. Fewer steps than the model has
timesteps skip evenly, as in Nichol and Dhariwal 2021. Equal to diffusers' DDPMScheduler with trailing
spacing, without clipping of x0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from facegen.config.kinds import KindConfig
from facegen.diffusion.denoiser import BoundDenoiser
from facegen.diffusion.walk import (
    MakeSampler,
    Spacing,
    StepNoise,
    fresh_noise,
    moves,
    posterior_std,
    step_variance,
    trailing,
)
from facegen.shapes import States
from facegen.types import SamplerStep


class Config(KindConfig, frozen=True):
    """Ancestral sampler, without settings; wants many steps (hundreds)."""

    kind: Literal["ddpm"] = "ddpm"


@dataclass(frozen=True)
class DDPM:
    denoiser: BoundDenoiser
    steps: int
    spacing: Spacing = trailing

    def __call__(self, noise: States, step_noise: StepNoise = fresh_noise) -> Iterator[SamplerStep]:
        path = self.denoiser.path
        x = path.start(noise)
        for index, (here, there) in enumerate(moves(path, self.spacing(path, self.steps))):
            x0 = self.denoiser(x, here.batch(x)).x0
            keep = here.alpha / there.alpha * (there.sigma / here.sigma) ** 2
            x = keep * x + there.alpha * step_variance(here, there) / here.sigma**2 * x0
            std = posterior_std(here, there)
            if std > 0:
                x = x + std * step_noise(index, x)
            yield SamplerStep(index, self.steps, there.timestep, x, x0)


def build(config: Config) -> MakeSampler:
    return DDPM
