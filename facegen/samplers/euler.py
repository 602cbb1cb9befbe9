"""Euler's method on the probability-flow ODE: one network call a step, deterministic.

Karras et al. 2022 (arXiv:2206.00364, algorithm 1 without correction); for flow the plain Euler walk of
Liu et al. 2022. Equal to diffusers' EulerDiscreteScheduler with trailing spacing, and to
FlowMatchEulerDiscreteScheduler with sigmas 1, 1 - 1/N, ..., 1/N.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.protocols import BoundDenoiser, Process, StepNoise
from facegen.samplers._levels import OdeView, moves, trailing_timesteps
from facegen.types import SamplerStep


class Config(KindConfig, frozen=True):
    """First-order ODE sampler, without settings."""

    kind: Literal["euler"] = "euler"

    def trajectory(
        self, denoiser: BoundDenoiser, noise: Tensor, steps: int, process: Process, step_noise: StepNoise
    ) -> Iterator[SamplerStep]:
        ode = OdeView(process.is_flow)
        x = noise
        for index, (here, there) in enumerate(moves(process, trailing_timesteps(process, steps))):
            prediction = denoiser(x, here.batch(x))
            step = ode.time(there) - ode.time(here)
            x = ode.scale(there) * (x / ode.scale(here) + step * ode.derivative(prediction))
            yield SamplerStep(index, steps, there.timestep, x, prediction.x0)


def build(config: Config) -> Config:
    return config
