"""What an autoencoder loses: PSNR, SSIM and a perceptual distance of each image from its reconstruction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.errors import DataError
from facegen.metrics._bootstrap import ratio_interval
from facegen.metrics._ssim import WINDOW_PIXELS, structural_similarity

EXACT_PSNR = 100.0  # stands for the infinity of images that came back exactly
HIGHER_IS_BETTER = {"psnr": True, "ssim": True}
WORST_SHARE = 0.05

DistanceFunction = Callable[[Tensor, Tensor], Tensor]
"""Two batches uint8 (B, 3, H, W) -> distances (B,)."""


class Config(KindConfig):
    kind: Literal["reconstruction"] = "reconstruction"
    bootstrap_resamples: int = Field(default=1000, ge=100)
    bootstrap_seed: int = Field(default=0, ge=0)


def build(config: Config, *, distance: DistanceFunction | None = None) -> ReconstructionFidelity:
    """PSNR and SSIM of the pairs to come, and their perceptual `distance` where one is given."""
    return ReconstructionFidelity(config, distance)


class ReconstructionFidelity:
    """Collects scores of pairs: an image and its reconstruction."""

    def __init__(self, config: Config, distance: DistanceFunction | None) -> None:
        self._config, self._distance = config, distance
        self._scores: dict[str, list[np.ndarray]] = {}

    def update(self, images: Tensor, originals: Tensor) -> None:
        """Add reconstructions and originals, both uint8 (B, 3, H, W).

        Raises:
            DataError: images smaller than SSIM's window.
        """
        if min(images.shape[-2:]) < WINDOW_PIXELS:
            raise DataError(
                f"Images of {images.shape[-1]} pixels are too small for SSIM: its window has {WINDOW_PIXELS}."
            )
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

    def compute(self) -> dict[str, Any]:
        """`{"num_samples": N, name: {"mean", "low", "high", "worst_5_percent"}}`.

        `low` to `high` is the mean's 95 % bootstrap interval over images; `worst_5_percent` is what the worst
        20th part of the images stays at or beyond: the 5th percentile, or the 95th of a distance.
        """
        scores = self.per_image()
        result: dict[str, Any] = {"num_samples": len(scores["psnr"])}
        for name, values in scores.items():
            low, high = ratio_interval(
                values,
                np.ones(len(values)),
                num_resamples=self._config.bootstrap_resamples,
                seed=self._config.bootstrap_seed,
            )
            tail = WORST_SHARE if HIGHER_IS_BETTER.get(name, False) else 1 - WORST_SHARE
            worst = float(np.quantile(values, tail))
            result[name] = {"mean": float(values.mean()), "low": low, "high": high, "worst_5_percent": worst}
        return result


def peak_signal_to_noise(one: Tensor, other: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) twice -> 10 log10(255^2 / mean squared error) in dB, (B,) float64.

    `EXACT_PSNR` where both are the same, which a mean can bear and no lossy pair of these sizes reaches.
    """
    error = (one.double() - other.double()).square().mean((1, 2, 3))
    decibels = 10 * torch.log10(255**2 / error.clamp_min(torch.finfo(torch.float64).tiny))
    return decibels.clamp_max(EXACT_PSNR)
