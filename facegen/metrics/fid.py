"""Fréchet distance between features of generated and of real images (FID; Heusel et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.errors import DataError
from facegen.metrics._gaussian import FeatureStatistics, frechet_distance

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Config", "FeatureStatistics", "FrechetDistance", "build", "frechet_distance"]

FeatureFunction = Callable[[Tensor], Tensor]
"""uint8 (B, 3, H, W) -> features (B, D) float32 on the CPU."""


class Config(KindConfig):
    kind: Literal["fid"] = "fid"


def build(config: Config, *, features: FeatureFunction, reference: FeatureStatistics) -> FrechetDistance:
    """The distance of the images to come from the Gaussian `reference`, seen through `features`."""
    return FrechetDistance(features, reference)


class FrechetDistance:
    """`Metric` that collects features and compares them with the reference's once asked."""

    def __init__(self, features: FeatureFunction, reference: FeatureStatistics) -> None:
        self._features, self._reference = features, reference
        self._collected: list[Tensor] = []

    def update(self, images: Tensor, records: pd.DataFrame | None = None) -> None:
        """Add uint8 images (B, 3, H, W); their labels do not matter here."""
        self._collected.append(self._features(images))

    def compute(self) -> dict[str, Any]:
        """`{"fid": distance, "num_samples": N}`.

        Raises:
            DataError: fewer than two images.
        """
        num_samples = sum(len(part) for part in self._collected)
        if num_samples < 2:
            raise DataError(f"A Fréchet distance needs at least 2 images, and there are {num_samples}.")
        statistics = FeatureStatistics.of(torch.cat(self._collected))
        return {"fid": frechet_distance(statistics, self._reference), "num_samples": num_samples}
