"""Structural similarity (SSIM; Wang et al. 2004, doi:10.1109/TIP.2003.819861)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW_PIXELS, WINDOW_SIGMA = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def structural_similarity(one: Tensor, other: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) twice -> mean SSIM (B,) float64 in [-1, 1]; 1 is the same.

    Gaussian window of 11 pixels with sigma 1.5 and population variances as published, over every place
    where the window fits, for each colour channel; the mean of the three.

    Raises:
        ValueError: images smaller than the window.
    """
    if min(one.shape[-2:]) < WINDOW_PIXELS:
        raise ValueError(f"SSIM needs images of at least {WINDOW_PIXELS} pixels a side")
    x, y = one.double(), other.double()
    mean_x, mean_y = _blurred(x), _blurred(y)
    variance_x, variance_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    structure = (2 * covariance + C2) / (variance_x + variance_y + C2)
    return (luminance * structure).mean((1, 2, 3))


def _blurred(images: Tensor) -> Tensor:
    offsets = torch.arange(WINDOW_PIXELS, dtype=torch.float64) - WINDOW_PIXELS // 2
    kernel = torch.exp(-0.5 * (offsets / WINDOW_SIGMA) ** 2)
    kernel = (kernel / kernel.sum()).to(images.device)
    flat = images.flatten(0, 1)[:, None]  # (B * 3, 1, H, W)
    flat = F.conv2d(F.conv2d(flat, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return flat[:, 0].unflatten(0, images.shape[:2])
