"""Which noise levels training looks at, and how much each of them counts."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def uniform_fractions(count: int, generator: Generator) -> Tensor:
    """Return (count,) float32 drawn uniformly from [0, 1)."""
    return torch.rand(count, generator=generator, device=generator.device)


def logit_normal_fractions(count: int, generator: Generator, mean: float, std: float) -> Tensor:
    """Return (count,) float32 in (0, 1) whose logit is normal; favours the middle noise levels.

    Esser et al. 2024 (Stable Diffusion 3, arXiv:2403.03206, eq. 19).
    """
    normal = torch.randn(count, generator=generator, device=generator.device)
    return torch.sigmoid(mean + std * normal)


def min_snr_weight(alpha: Tensor, sigma: Tensor, parameterisation: str, gamma: float) -> Tensor:
    """Return the min-SNR-gamma weight (B,) of a squared error in the network's own output.

    Hang et al. 2023 (arXiv:2303.09556) weigh the error in x0 by min(SNR, gamma), SNR = alpha^2 /
    sigma^2. An error e in the output is an error in x0 of (sigma / alpha) e for eps, sigma e for v
    and for flow (x0 = x_t - t v), and e for x0; the square of that factor carries the weight over.
    Written with min(alpha^2, gamma sigma^2) = sigma^2 min(SNR, gamma), which never divides by zero
    where the noise vanishes.
    """
    clipped = torch.minimum(alpha**2, gamma * sigma**2)
    if parameterisation == "eps":
        return clipped / alpha**2
    if parameterisation in ("v", "flow"):
        return clipped
    return clipped / sigma**2
