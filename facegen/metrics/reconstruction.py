"""What an autoencoder loses: PSNR, SSIM and a perceptual distance of each image from its reconstruction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.errors import DataError
from facegen.metrics._intervals import ratio_interval

EXACT_PSNR = 100.0  # stands for the infinity of images that came back exactly
WORST_SHARE = 0.05
WINDOW_PIXELS, WINDOW_SIGMA = 11, 1.5  # of SSIM
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

DistanceFunction = Callable[[Tensor, Tensor], Tensor]
"""Two batches uint8 (B, 3, H, W) -> distances (B,)."""


class Config(KindConfig, frozen=True):
    kind: Literal["reconstruction"] = "reconstruction"


class Fidelity(TypedDict):
    """The mean of a score with its 95 % interval, and what the worst 20th part of images stays beyond."""

    mean: float
    low: float
    high: float
    worst_5_percent: float


class ReconstructionFidelity:
    """Collects scores of pairs, an image and its reconstruction: PSNR, SSIM, and their perceptual `distance`
    where one is given."""

    def __init__(self, config: Config, *, distance: DistanceFunction | None = None) -> None:
        self._distance = distance
        self._scores: dict[str, list[np.ndarray]] = {}

    def update(self, images: Tensor, originals: Tensor) -> None:
        """Add reconstructions and originals, both uint8 (B, 3, H, W).

        Raises:
            DataError: images smaller than SSIM's window.
        """
        scores = {
            "psnr": peak_signal_to_noise(images, originals),
            "ssim": structural_similarity(images, originals),
        }
        if self._distance is not None:
            scores["distance"] = self._distance(images, originals)
        for name, values in scores.items():
            self._scores.setdefault(name, []).append(values.double().cpu().numpy())

    def per_image(self) -> dict[str, np.ndarray]:
        """The scores of each pair (N,), by name, in the order they came.

        Raises:
            DataError: there were none.
        """
        if not self._scores:
            raise DataError("There are no images to judge.")
        return {name: np.concatenate(parts) for name, parts in self._scores.items()}

    def compute(self) -> dict[str, Fidelity]:
        """Each score by name, its interval by bootstrap over images; `worst_5_percent` is the 5th percentile,
        or the 95th of a distance."""
        result: dict[str, Fidelity] = {}
        for name, values in self.per_image().items():
            low, high = ratio_interval(values, np.ones(len(values)))
            worst = float(np.quantile(values, 1 - WORST_SHARE if name == "distance" else WORST_SHARE))
            result[name] = {"mean": float(values.mean()), "low": low, "high": high, "worst_5_percent": worst}
        return result


build = ReconstructionFidelity


def peak_signal_to_noise(one: Tensor, other: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) twice -> 10 log10(255^2 / mean squared error) in dB, (B,) float64.

    `EXACT_PSNR` where both are the same, which a mean can bear and no lossy pair of these sizes reaches.
    """
    error = (one.double() - other.double()).square().mean((1, 2, 3))
    decibels = 10 * torch.log10(255**2 / error.clamp_min(torch.finfo(torch.float64).tiny))
    return decibels.clamp_max(EXACT_PSNR)


def structural_similarity(one: Tensor, other: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) twice -> mean SSIM (B,) float64 in [-1, 1]; 1 is the same (Wang et al. 2004,
    doi:10.1109/TIP.2003.819861).

    Gaussian window of 11 pixels with sigma 1.5 and population variances as published, over every place
    where the window fits, for each colour channel; the mean of the three.

    Raises:
        DataError: images smaller than the window.
    """
    if min(one.shape[-2:]) < WINDOW_PIXELS:
        raise DataError(
            f"Images of {one.shape[-1]} pixels are too small for SSIM: its window has {WINDOW_PIXELS}."
        )
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
    return flat.reshape(*images.shape[:2], *flat.shape[-2:])
