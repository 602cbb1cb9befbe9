"""Fréchet distance between features of generated and of real images (FID; Heusel et al. 2017)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.metrics._features import FeatureMetric, ReferenceFeatures, Score
from facegen.metrics._frechet import (
    SAMPLES_PER_FEATURE,
    FeatureStatistics,
    distances_growing,
    frechet_distance,
    frechet_estimate,
)

CUSTOMARY_SAMPLES = 10_000
WIDE_FEATURES = 512  # above, a point of the fit takes seconds


class Config(KindConfig, frozen=True):
    kind: Literal["fid"] = "fid"


class FrechetDistance(FeatureMetric):
    """The distance from `reference`: `fid`, and `fid_infinity`, extrapolated to infinitely many generated
    images, where there are enough."""

    why_so_many = "a Fréchet distance, which compares covariances of hundreds of features"

    def __init__(self, config: Config, *, reference: ReferenceFeatures) -> None:
        self._reference = reference

    def values(self, features: Tensor) -> dict[str, float]:
        return {"fid": frechet_distance(FeatureStatistics.of(features), self._reference.statistics)}

    def judge(self, features: Tensor) -> dict[str, Score]:
        statistics, reference = FeatureStatistics.of(features), self._reference
        found = frechet_estimate(statistics, features, reference.statistics, reference.features)
        behind = "the distance between the distributions behind both sets"
        about = behind if found.unbiased else "the distance at this number of images, its bias included"
        of_all = (found.estimate, found.low, found.high, found.standard_error)
        scores = {"fid": Score(found.value, "lower", *of_all, about, influence=found.influence)}
        limit = extrapolate(features, reference.statistics, found.value)
        if limit is not None:
            scores["fid_infinity"] = Score(limit, "lower", *of_all, behind, influence=found.influence)
        return scores

    def remarks(self, num_samples: int, num_features: int) -> list[str]:
        remarks: list[str] = []
        if num_samples <= num_features:
            remarks.append(
                f"{num_samples:,} samples for {num_features:,} features: the covariance is rank-deficient, "
                "the score biased upwards. Compare only scores with the same number of samples."
            )
        elif num_samples < CUSTOMARY_SAMPLES:
            remarks.append(
                f"{num_samples:,} samples: the score is biased upwards beside one from {CUSTOMARY_SAMPLES:,}."
            )
        enough = SAMPLES_PER_FEATURE * num_features
        if num_samples < enough:
            remarks.append(
                f"The interval is that of the score at this count, and nothing is extrapolated to infinitely "
                f"many images: {num_features:,} features want at least {enough:,}."
            )
        num_reference = self._reference.statistics.num_samples
        if num_reference <= num_features:
            remarks.append(f"The reference has only {num_reference:,} images for {num_features:,} features.")
        elif num_reference < enough <= num_samples:
            remarks.append(
                f"The interval is that of the score at this count: the reference has {num_reference:,} "
                f"images; taking its bias off needs {enough:,}."
            )
        return remarks


build = FrechetDistance


def extrapolate(features: Tensor, reference: FeatureStatistics, distance: float) -> float | None:
    """The distance for infinitely many images, by a line through distances of growing parts of `features`,
    of which `distance` is that of all.

    Fitted in 1/N, N from half of all images (twice as many as features at least) to all (Chong & Forsyth
    2020, arXiv:1911.07023); None below four images a feature. The reference is taken as it is.
    """
    count, width = features.shape
    if count < SAMPLES_PER_FEATURE * width:
        return None
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    sizes = np.linspace(max(2 * width, count // 4), count, 15 if width <= WIDE_FEATURES else 6).astype(int)
    distances = [*distances_growing(features, order, sizes[:-1].tolist(), reference), distance]
    _, limit = np.polyfit(1 / sizes, distances, 1)
    return float(limit)
