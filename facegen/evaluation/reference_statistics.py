"""Feature statistics of real images, cached by what they depend on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from facegen.evaluation.feature_cache import cached_tensors
from facegen.evaluation.image_sources import batches, chosen_indices
from facegen.formats.dataset import Dataset
from facegen.metrics._features import ReferenceFeatures
from facegen.metrics.fid import FeatureStatistics
from facegen.models.feature_networks import FeatureExtractor
from facegen.protocols import Progress

MAX_CACHED_FEATURES = 30_000  # 0.25 GB at 2048 features


@dataclass(frozen=True)
class RealImages:
    """`count` images of one split (all if None), drawn with `seed`."""

    dataset: Dataset
    split: str
    count: int | None = None
    seed: int = 0

    @property
    def indices(self) -> Tensor:
        """Rows of the split, ascending."""
        return chosen_indices(len(self.dataset.split(self.split)), self.count, self.seed)

    def key(self, extractor: FeatureExtractor) -> dict[str, str | int | None]:
        """What features of these images depend on."""
        taken = None if self.count is None else len(self.indices)
        return {
            "dataset": self.dataset.manifest.fingerprint,
            "split": self.split,
            "count": taken,
            "seed": self.seed if taken is not None else None,
            "extractor": extractor.fingerprint,
        }


def real_features(
    real: RealImages, extractor: FeatureExtractor, batch_size: int, progress: Progress
) -> Tensor:
    """Features (N, D) float32 of real images, from the cache where they are.

    Those of a large set (over `MAX_CACHED_FEATURES` images) are not kept: its statistics are.
    """

    def compute() -> dict[str, Tensor]:
        indices = real.indices
        parts = batches(real.dataset.split(real.split), indices, batch_size)
        title = f"Features of real images ({real.split})"
        return {"features": collect_features(parts, len(indices), extractor, title, progress)}

    if len(real.indices) > MAX_CACHED_FEATURES:
        return compute()["features"]
    return cached_tensors({"what": "features", **real.key(extractor)}, compute, progress)["features"]


def real_statistics(
    real: RealImages, extractor: FeatureExtractor, batch_size: int, progress: Progress
) -> FeatureStatistics:
    """Mean and covariance of real images' features, from the cache where they are."""

    def compute() -> dict[str, Tensor]:
        statistics = FeatureStatistics.of(real_features(real, extractor, batch_size, progress))
        count = torch.tensor(statistics.num_samples)
        return {"mean": statistics.mean, "root": statistics.root, "num_samples": count}

    kept = cached_tensors({"what": "statistics", **real.key(extractor)}, compute, progress)
    return FeatureStatistics(kept["mean"], kept["root"], int(kept["num_samples"]))


def real_reference(
    real: RealImages, extractor: FeatureExtractor, batch_size: int, progress: Progress
) -> ReferenceFeatures:
    """The Gaussian of real images' features and the features themselves, from the cache where they are.

    Of a large set (over `MAX_CACHED_FEATURES` images) all count for the Gaussian, and that many drawn
    features are kept.
    """
    if len(real.indices) <= MAX_CACHED_FEATURES:
        statistics = real_statistics(real, extractor, batch_size, progress)
        return ReferenceFeatures(statistics, real_features(real, extractor, batch_size, progress))

    def compute() -> dict[str, Tensor]:
        features = real_features(real, extractor, batch_size, progress)
        statistics = FeatureStatistics.of(features)
        return {
            "mean": statistics.mean,
            "root": statistics.root,
            "num_samples": torch.tensor(statistics.num_samples),
            "features": features[chosen_indices(len(features), MAX_CACHED_FEATURES, seed=0)],
        }

    kept = cached_tensors({"what": "reference", **real.key(extractor)}, compute, progress)
    statistics = FeatureStatistics(kept["mean"], kept["root"], int(kept["num_samples"]))
    return ReferenceFeatures(statistics, kept["features"])


def collect_features(
    parts: Iterable[Tensor], total: int, extractor: FeatureExtractor, title: str, progress: Progress
) -> Tensor:
    """Features (N, D) of uint8 batches, with a progress bar."""
    features = []
    with progress.stage(title, total=total) as bar:
        for images in parts:
            features.append(extractor(images))
            bar.advance(len(images))
    return torch.cat(features)
