"""Gaussian paths from data to noise: x_t = alpha(t) x0 + sigma(t) eps with eps ~ N(0, I).

    path                  alpha(t)                  sigma(t)
    VariancePreserving    sqrt(sigmoid(l(t)))       sqrt(sigmoid(-l(t)))                       l = log-SNR
    Flow                  1 - t/T                   t/T
    VarianceExploding     1                         smallest (largest / smallest)^(t/T)

Time counts in timesteps, from 0 (clean) to T = `num_timesteps`; timesteps have shape (B,). Everything is
computed in float64 for float64 timesteps and in float32 for any other.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from facegen.shapes import Columns, States, Times
from facegen.types import Prediction


@dataclass(frozen=True)
class Level:
    """One noise level; `x_t = alpha x0 + sigma eps`."""

    timestep: float
    alpha: float
    sigma: float

    @property
    def half_log_snr(self) -> float:
        """lambda = log(alpha / sigma), the time of DPM-Solver and UniPC."""
        return math.log(self.alpha / self.sigma) if self.sigma > 0 else math.inf

    def batch(self, x: Tensor) -> Tensor:
        """This level's timestep for every row of `x`, (B,) float32 or finer, as a denoiser takes it."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        return torch.full((len(x),), self.timestep, dtype=dtype, device=x.device)


CLEAN = Level(timestep=0.0, alpha=1.0, sigma=0.0)


class Path(ABC):
    """How much signal alpha(t) and noise sigma(t) there is at each timestep.

    `last_timestep` is the noisiest one; a path is discrete where training knows whole timesteps alone.
    """

    is_discrete = False

    def __init__(self, num_timesteps: int) -> None:
        self.num_timesteps = num_timesteps
        self.last_timestep = float(num_timesteps)

    @abstractmethod
    def alpha_sigma(self, timestep: Times) -> tuple[Times, Times]:
        """Return alpha and sigma (B,) at `timestep` (B,): float64 for float64 timesteps, else float32."""

    def slopes(self, timestep: Times) -> tuple[Times, Times]:
        """Return d alpha / dt and d sigma / dt (B,), per timestep."""
        time = _floating(timestep)
        return torch.func.jvp(self.alpha_sigma, (time,), (torch.ones_like(time),))[1]

    def noise_level(self, timestep: Times) -> Times:
        """Return timestep / num_timesteps (B,): 0 clean .. 1 pure noise."""
        return timestep / self.num_timesteps

    def timesteps(self, fractions: Times) -> Times:
        """Return timesteps (B,) at `fractions` (B,) of the way in [0, 1]: whole ones where discrete."""
        timesteps = fractions * self.num_timesteps
        return timesteps.floor().clamp(max=self.last_timestep) if self.is_discrete else timesteps

    def columns(self, timestep: Times, like: States) -> tuple[Columns, Columns]:
        """Return alpha and sigma (B, 1, ...) in the dtype of `like` (B, *S), to multiply it with."""
        alpha, sigma = self.alpha_sigma(timestep)
        shape = (-1, *[1] * (like.ndim - 1))
        return alpha.to(like.dtype).view(shape), sigma.to(like.dtype).view(shape)

    def add_noise(self, x0: States, noise: States, timestep: Times) -> States:
        """Return x_t (B, *S) of clean `x0` and standard normal `noise`, both (B, *S)."""
        alpha, sigma = self.columns(timestep, x0)
        return alpha * x0 + sigma * noise

    def eps_of(self, x0: States, x_t: States, timestep: Times) -> States:
        """Return the noise (B, *S) that makes `x_t` of `x0`; sigma must not be 0."""
        alpha, sigma = self.columns(timestep, x_t)
        return (x_t - alpha * x0) / sigma

    def start(self, noise: States) -> States:
        """Return the state (B, *S) that a sampler begins with, of standard normal `noise`."""
        return noise

    def squares(self, alpha: Tensor, sigma: Tensor) -> Tensor | float:
        """Return alpha^2 + sigma^2, which a v prediction is read with."""
        return alpha**2 + sigma**2

    def total(self, alpha: Tensor, sigma: Tensor) -> Tensor | float:
        """Return alpha + sigma, which a flow prediction is read with."""
        return alpha + sigma

    # The probability-flow ODE in coordinates z = x_t / scale where its paths are straight for exact answers:
    # z = x0 + (sigma / alpha) eps, hence time sigma / alpha and dz/dtime = eps (Karras et al. 2022,
    # arXiv:2206.00364).

    def ode_scale(self, level: Level) -> float:
        return level.alpha

    def ode_time(self, level: Level) -> float:
        return level.sigma / level.alpha

    def ode_slope(self, prediction: Prediction) -> Tensor:
        return prediction.eps


class VariancePreserving(Path):
    """alpha^2 + sigma^2 = 1: all there is to say is the log-SNR (Kingma et al. 2021, arXiv:2107.00630).

    `log_snr` is any falling function of the time t / num_timesteps in [0, 1], float tensor (B,) to (B,):
    `lambda t: -2 * torch.log(torch.tan(torch.pi * t / 2))` is the cosine schedule.
    """

    def __init__(self, log_snr: Callable[[Tensor], Tensor], num_timesteps: int = 1000) -> None:
        super().__init__(num_timesteps)
        self._log_snr = log_snr

    @staticmethod
    def of_betas(betas: Tensor) -> VariancePreserving:
        """The discrete process of variances `betas` (T,), whose timesteps are 0 .. T-1."""
        return _Discrete(betas)

    def log_snr(self, timestep: Times) -> Times:
        """Return log(alpha^2 / sigma^2) (B,)."""
        return self._log_snr(self.noise_level(timestep))

    def alpha_sigma(self, timestep: Times) -> tuple[Times, Times]:
        # alpha^2 = 1 / (1 + exp(-l)), without cancellation at either end
        log_snr = self.log_snr(_floating(timestep))
        return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()

    def squares(self, alpha: Tensor, sigma: Tensor) -> float:
        return 1.0


class _Discrete(VariancePreserving):
    """Integer timesteps 0 .. T-1 with alpha_t^2 = prod_{s <= t} (1 - beta_s).

    Timesteps between two integers are interpolated in the log-SNR, which is close to straight; those above
    T-1 count as T-1.
    """

    is_discrete = True

    def __init__(self, betas: Tensor) -> None:
        Path.__init__(self, len(betas))
        self.last_timestep = float(len(betas) - 1)
        alphas_cumprod = torch.cumprod(1.0 - betas.double(), dim=0)
        log_snr = torch.log(alphas_cumprod) - torch.log1p(-alphas_cumprod)
        self._tables = {(torch.device("cpu"), torch.float64): log_snr}

    def log_snr(self, timestep: Times) -> Times:
        table = self._table(timestep.device, timestep.dtype)
        position = timestep.clamp(0.0, self.last_timestep)
        below = position.floor().long().clamp(max=len(table) - 2)
        return torch.lerp(table[below], table[below + 1], position - below)

    def _table(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        key = (device, dtype)
        if key not in self._tables:
            self._tables[key] = self._tables[torch.device("cpu"), torch.float64].to(dtype).to(device)
        return self._tables[key]


class Flow(Path):
    """The straight path of rectified flow: Liu et al. 2022 (arXiv:2209.03003), Lipman et al. 2022
    (arXiv:2210.02747)."""

    def __init__(self, num_timesteps: int = 1000) -> None:
        super().__init__(num_timesteps)

    def alpha_sigma(self, timestep: Times) -> tuple[Times, Times]:
        t = (_floating(timestep) / self.last_timestep).clamp(0.0, 1.0)
        return 1.0 - t, t

    def total(self, alpha: Tensor, sigma: Tensor) -> float:
        return 1.0

    # z = x_t, which is straight in sigma; dividing by alpha, 0 at the start, would not do.

    def ode_scale(self, level: Level) -> float:
        return 1.0

    def ode_time(self, level: Level) -> float:
        return level.sigma

    def ode_slope(self, prediction: Prediction) -> Tensor:
        return prediction.eps - prediction.x0


class VarianceExploding(Path):
    """Noise added to data that stay as they are: Song et al. 2021 (arXiv:2011.13456), Karras et al. 2022.

    The timestep is even in log(sigma), which is what EDM tells its network.
    """

    def __init__(self, smallest: float = 0.002, largest: float = 80.0, num_timesteps: int = 1000) -> None:
        super().__init__(num_timesteps)
        self._smallest, self._ratio = smallest, largest / smallest

    def alpha_sigma(self, timestep: Times) -> tuple[Times, Times]:
        time = self.noise_level(_floating(timestep))
        sigma = self._smallest * self._ratio**time
        return torch.ones_like(sigma), sigma

    def start(self, noise: States) -> States:
        return self._smallest * self._ratio * noise


def _floating(timestep: Tensor) -> Tensor:
    return timestep if timestep.dtype == torch.float64 else timestep.float()
