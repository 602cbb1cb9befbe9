"""From a recipe's `diffusion` section to what its network is asked for."""

from __future__ import annotations

from facegen.config.recipe import DiffusionConfig
from facegen.diffusion.denoiser import Objective
from facegen.diffusion.paths import Flow, VariancePreserving
from facegen.diffusion.schedules import betas_of
from facegen.diffusion.weighting import LogitNormal, MinSnr, uniform


def objective_of(config: DiffusionConfig) -> Objective:
    """The path, what is predicted on it, and where and how much training looks."""
    if config.parameterisation == "flow":
        path = Flow(config.num_timesteps)
    else:
        betas = betas_of(config.schedule, config.num_timesteps, config.beta_start, config.beta_end)
        path = VariancePreserving.of_betas(betas)
    return Objective(
        path,
        config.parameterisation,
        weight=None if config.weighting == "none" else MinSnr(config.min_snr_gamma),
        times=uniform
        if config.timesteps == "uniform"
        else LogitNormal(config.logit_normal_mean, config.logit_normal_std),
    )
