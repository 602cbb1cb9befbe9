"""Gaussian paths: how much signal alpha(t) and noise sigma(t) there is in `x_t = alpha x0 + sigma eps`.

A path maps timesteps in `[0, num_timesteps]` to (alpha, sigma). Everything is computed in float64 on
the host; what a caller gets has float64 for float64 timesteps and float32 for any other.
"""

from __future__ import annotations

import math
from typing import Literal, Protocol

import torch
from torch import Tensor

Schedule = Literal["linear", "scaled_linear", "squared_cosine"]
MAX_BETA = 0.999  # keeps the last step of the cosine schedule off a division by zero, as in the paper


class Path(Protocol):
    """Signal and noise over time; `last_timestep` is the noisiest one."""

    last_timestep: float

    def alpha_sigma(self, timestep: Tensor) -> tuple[Tensor, Tensor]: ...


def betas_of(schedule: Schedule, count: int, start: float, end: float) -> Tensor:
    """Variances beta_t (`count`,) float64 of a discrete diffusion process.

    linear: Ho et al. 2020 (arXiv:2006.11239). scaled_linear: linear in sqrt(beta), Rombach et al.
    2022 (arXiv:2112.10752). squared_cosine: Nichol and Dhariwal 2021 (arXiv:2102.09672, eq. 17).
    """
    if schedule == "linear":
        return torch.linspace(start, end, count, dtype=torch.float64)
    if schedule == "scaled_linear":
        return torch.linspace(start**0.5, end**0.5, count, dtype=torch.float64) ** 2

    def cosine(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    ratios = [cosine((i + 1) / count) / cosine(i / count) for i in range(count)]
    return torch.tensor([min(1 - ratio, MAX_BETA) for ratio in ratios], dtype=torch.float64)


def alphas_cumprod_of(betas: Tensor) -> Tensor:
    """Return alpha_bar_t = prod_{s <= t} (1 - beta_s), (T,) float64; alpha(t)^2 of the path."""
    return torch.cumprod(1.0 - betas, dim=0)


class DiscretePath:
    """Variance-preserving path over integer timesteps 0 .. T-1, alpha^2 + sigma^2 = 1.

    Timesteps between two integers are interpolated in log(sigma / alpha), which is close to straight;
    those above T-1 count as T-1.
    """

    def __init__(self, alphas_cumprod: Tensor) -> None:
        self.last_timestep = float(len(alphas_cumprod) - 1)
        log_ratio = 0.5 * (torch.log1p(-alphas_cumprod) - torch.log(alphas_cumprod))
        self._log_ratio = {(torch.device("cpu"), torch.float64): log_ratio}

    def alpha_sigma(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        dtype = torch.float64 if timestep.dtype == torch.float64 else torch.float32
        table = self._table(timestep.device, dtype)
        position = timestep.to(dtype).clamp(0.0, self.last_timestep)
        below = position.floor().long().clamp(max=len(table) - 2)
        log_ratio = torch.lerp(table[below], table[below + 1], position - below)
        # alpha^2 = 1 / (1 + (sigma / alpha)^2) = sigmoid(-2 log_ratio), without cancellation at either end
        return torch.sigmoid(-2 * log_ratio).sqrt(), torch.sigmoid(2 * log_ratio).sqrt()

    def _table(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        key = (device, dtype)
        if key not in self._log_ratio:
            host = self._log_ratio[torch.device("cpu"), torch.float64]
            self._log_ratio[key] = host.to(dtype).to(device)
        return self._log_ratio[key]


class FlowPath:
    """Straight path of rectified flow: alpha = 1 - t, sigma = t, t = timestep / num_timesteps.

    Liu et al. 2022 (arXiv:2209.03003); Lipman et al. 2022 (arXiv:2210.02747).
    """

    def __init__(self, num_timesteps: int) -> None:
        self.last_timestep = float(num_timesteps)

    def alpha_sigma(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        dtype = torch.float64 if timestep.dtype == torch.float64 else torch.float32
        t = (timestep.to(dtype) / self.last_timestep).clamp(0.0, 1.0)
        return 1.0 - t, t
