"""DPM-Solver++ (2M): second-order multistep in log-SNR, one network call a step, deterministic.

Lu et al. 2022 (arXiv:2211.01095, algorithm 2), midpoint form; the first step and the step to the clean
sample are first order. Equal to diffusers' DPMSolverMultistepScheduler with trailing spacing, and with
`use_flow_sigmas` for flow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.protocols import BoundDenoiser, Process, StepNoise
from facegen.samplers._levels import Level, moves, trailing_timesteps
from facegen.types import SamplerStep


class Config(KindConfig, frozen=True):
    """Second-order multistep sampler, without settings; 15 to 20 steps do."""

    kind: Literal["dpmpp_2m"] = "dpmpp_2m"

    def trajectory(
        self, denoiser: BoundDenoiser, noise: Tensor, steps: int, process: Process, step_noise: StepNoise
    ) -> Iterator[SamplerStep]:
        timesteps = trailing_timesteps(process, steps)
        if process.is_flow:  # log-SNR is infinite at pure noise, so the walk starts one timestep below
            timesteps = [t * (1 - 1 / process.num_timesteps) for t in timesteps]
        x = noise
        previous_x0: Tensor | None = None
        previous_h = 0.0
        for index, (here, there) in enumerate(moves(process, timesteps)):
            x0 = denoiser(x, here.batch(x)).x0
            h = _half_log_snr(there) - _half_log_snr(here)
            estimate = x0
            if previous_x0 is not None and there.sigma > 0:
                estimate = x0 + 0.5 * h / previous_h * (x0 - previous_x0)  # r = previous_h / h, eq. 18
            x = there.sigma / here.sigma * x - there.alpha * math.expm1(-h) * estimate
            previous_x0, previous_h = x0, h
            yield SamplerStep(index, steps, there.timestep, x, x0)


def _half_log_snr(level: Level) -> float:
    """lambda = log(alpha / sigma), the solver's time."""
    return math.log(level.alpha / level.sigma) if level.sigma > 0 else math.inf


def build(config: Config) -> Config:
    return config
