"""Euler's method on the probability-flow ODE: one network call a step, deterministic.

Karras et al. 2022 (arXiv:2206.00364, algorithm 1 without correction); for flow the plain Euler walk of
Liu et al. 2022. Equal to diffusers' EulerDiscreteScheduler with trailing spacing, and to
FlowMatchEulerDiscreteScheduler with sigmas 1, 1 - 1/N, ..., 1/N.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from facegen.config.kinds import KindConfig
from facegen.diffusion.denoiser import BoundDenoiser
from facegen.diffusion.walk import MakeSampler, Spacing, StepNoise, fresh_noise, moves, trailing
from facegen.shapes import States
from facegen.types import SamplerStep


class Config(KindConfig, frozen=True):
    """First-order ODE sampler, without settings."""

    kind: Literal["euler"] = "euler"


@dataclass(frozen=True)
class Euler:
    denoiser: BoundDenoiser
    steps: int
    spacing: Spacing = trailing

    def __call__(self, noise: States, step_noise: StepNoise = fresh_noise) -> Iterator[SamplerStep]:
        path = self.denoiser.path
        x = path.start(noise)
        for index, (here, there) in enumerate(moves(path, self.spacing(path, self.steps))):
            prediction = self.denoiser(x, here.batch(x))
            step = path.ode_time(there) - path.ode_time(here)
            z = x / path.ode_scale(here)
            x = path.ode_scale(there) * (z + step * path.ode_slope(prediction))
            yield SamplerStep(index, self.steps, there.timestep, x, prediction.x0)


def build(config: Config) -> MakeSampler:
    return Euler
