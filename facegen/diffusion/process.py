"""The diffusion process: noising, training targets, and reading a network's output.

    x_t = alpha(t) x0 + sigma(t) eps                                   eps ~ N(0, I)

    parameterisation   output                   x0                          eps
    eps                eps                      (x_t - sigma eps) / alpha   output
    v                  alpha eps - sigma x0     alpha x_t - sigma v         sigma x_t + alpha v
    x0                 x0                       output                      (x_t - alpha x0) / sigma
    flow               eps - x0                 x_t - sigma u               x_t + alpha u

v: Salimans and Ho 2022 (arXiv:2202.00512). flow: alpha + sigma = 1, Liu et al. 2022. Shapes: x (B, *S),
timestep (B,) in [0, num_timesteps].
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Generator, Tensor

from facegen.diffusion.schedules import DiscretePath, FlowPath, Path, Schedule, alphas_cumprod_of, betas_of
from facegen.diffusion.weighting import logit_normal_fractions, min_snr_weight, uniform_fractions
from facegen.types import Prediction


@dataclass(frozen=True)
class Process:
    """Path, parameterisation, timestep density and loss weight: the options of a recipe's `diffusion`."""

    parameterisation: Literal["eps", "v", "x0", "flow"]
    schedule: Schedule
    num_timesteps: int
    beta_start: float
    beta_end: float
    timesteps: Literal["uniform", "logit_normal"]
    logit_normal_mean: float
    logit_normal_std: float
    weighting: Literal["none", "min_snr"]
    min_snr_gamma: float

    @property
    def is_flow(self) -> bool:
        """Whether timesteps are continuous and the path is straight."""
        return self.parameterisation == "flow"

    @property
    def last_timestep(self) -> float:
        """The noisiest timestep: num_timesteps - 1, or num_timesteps for flow."""
        return self._path.last_timestep

    @cached_property
    def _path(self) -> Path:
        if self.is_flow:
            return FlowPath(self.num_timesteps)
        betas = betas_of(self.schedule, self.num_timesteps, self.beta_start, self.beta_end)
        return DiscretePath(alphas_cumprod_of(betas))

    def alpha_sigma(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Return alpha and sigma (B,) at `timestep` (B,): float64 for float64 timesteps, else float32."""
        return self._path.alpha_sigma(timestep)

    def noise_level(self, timestep: Tensor) -> Tensor:
        """Return timestep / num_timesteps (B,): 0 clean .. 1 pure noise."""
        return timestep / self.num_timesteps

    def add_noise(self, x0: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """Return x_t (B, *S) of clean `x0` and standard normal `noise`, both (B, *S)."""
        alpha, sigma = self._columns(timestep, x0)
        return alpha * x0 + sigma * noise

    def target(self, x0: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """Return what the network should answer (B, *S) for `add_noise(x0, noise, timestep)`."""
        if self.parameterisation == "eps":
            return noise
        if self.parameterisation == "x0":
            return x0
        if self.parameterisation == "flow":
            return noise - x0
        alpha, sigma = self._columns(timestep, x0)
        return alpha * noise - sigma * x0

    def prediction(self, output: Tensor, x_t: Tensor, timestep: Tensor) -> Prediction:
        """Read a network's `output` (B, *S) at `x_t` as estimates of x0 and eps."""
        alpha, sigma = self._columns(timestep, x_t)
        if self.parameterisation == "eps":
            return Prediction(x0=(x_t - sigma * output) / alpha, eps=output)
        if self.parameterisation == "x0":
            return Prediction(x0=output, eps=(x_t - alpha * output) / sigma)
        if self.parameterisation == "flow":
            return Prediction(x0=x_t - sigma * output, eps=x_t + alpha * output)
        return Prediction(x0=alpha * x_t - sigma * output, eps=sigma * x_t + alpha * output)

    def eps_of(self, x0: Tensor, x_t: Tensor, timestep: Tensor) -> Tensor:
        """Return the noise (B, *S) that makes `x_t` of `x0`; sigma must not be 0."""
        alpha, sigma = self._columns(timestep, x_t)
        return (x_t - alpha * x0) / sigma

    def loss_weight(self, timestep: Tensor) -> Tensor:
        """Return the weight (B,) float32 of each sample's squared error: 1, or min-SNR-gamma."""
        alpha, sigma = self.alpha_sigma(timestep.float())
        if self.weighting == "none":
            return torch.ones_like(alpha)
        return min_snr_weight(alpha, sigma, self.parameterisation, self.min_snr_gamma)

    def sample_timesteps(self, count: int, generator: Generator) -> Tensor:
        """Draw training timesteps (count,) float32: whole numbers if discrete, continuous for flow."""
        if self.timesteps == "uniform":
            fractions = uniform_fractions(count, generator)
        else:
            mean, std = self.logit_normal_mean, self.logit_normal_std
            fractions = logit_normal_fractions(count, generator, mean, std)
        return self._from_fractions(fractions)

    def noise_levels(self, count: int) -> Tensor:
        """Return `count` timesteps (count,) float32, the middles of equal parts, clean to noisy."""
        return self._from_fractions((torch.arange(count, dtype=torch.float32) + 0.5) / count)

    def _from_fractions(self, fractions: Tensor) -> Tensor:
        timesteps = fractions * self.num_timesteps
        return timesteps if self.is_flow else timesteps.floor().clamp(max=self.last_timestep)

    def _columns(self, timestep: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = self.alpha_sigma(timestep)
        shape = (-1, *[1] * (like.ndim - 1))
        return alpha.to(like.dtype).view(shape), sigma.to(like.dtype).view(shape)
