"""Features of real images, which are what drawn ones are held against; cached by what they depend on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from facegen.formats.dataset import Dataset
from facegen.metrics import FeatureStatistics, ReferenceFeatures
from facegen.models.chosen_images import batches, chosen_indices
from facegen.models.feature_cache import Viewer, cached_tensors, modules_of

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

    @property
    def key(self) -> dict[str, str | int | None]:
        """Which images these are, for the cache."""
        taken = None if self.count is None else len(self.indices)
        return {
            "dataset": self.dataset.manifest.fingerprint,
            "split": self.split,
            "count": taken,
            "seed": self.seed if taken is not None else None,
        }


def real_features(real: RealImages, viewer: Viewer) -> Tensor:
    """Features (N, D) float32 of real images, from the cache where they are.

    Those of a large set (over `MAX_CACHED_FEATURES` images) are not kept: its statistics are.
    """
    indices, title = real.indices, f"Features of real images ({real.split})"
    parts = batches(real.dataset.split(real.split), indices, viewer.batch_size)
    if len(indices) > MAX_CACHED_FEATURES:
        return viewer.features(parts, len(indices), title)
    key, seen = {"what": "features", **real.key}, modules_of(real.dataset, batches)
    return viewer.kept_features(key, seen, parts, len(indices), title)


def real_reference(real: RealImages, viewer: Viewer) -> ReferenceFeatures:
    """The Gaussian of real images' features and the features themselves, from the cache where they are.

    Of a large set (over `MAX_CACHED_FEATURES` images) all count for the Gaussian, and that many drawn
    features are kept.
    """
    large = _is_large(real)

    def compute() -> dict[str, Tensor]:
        features = real_features(real, viewer)
        statistics = FeatureStatistics.of(features)
        count = torch.tensor(statistics.num_samples)
        kept = {"mean": statistics.mean, "root": statistics.root, "num_samples": count}
        if large:
            kept["features"] = features[_kept_of_large(real)]
        return kept

    what = "reference" if large else "statistics"
    key = {"what": what, **real.key, "extractor": viewer.extractor.fingerprint}
    seen = modules_of(viewer.extractor, real.dataset, batches, FeatureStatistics)
    kept = cached_tensors(key, seen, compute, viewer.progress)
    statistics = FeatureStatistics(kept["mean"], kept["root"], int(kept["num_samples"]))
    features = kept["features"] if large else real_features(real, viewer)
    return ReferenceFeatures(statistics, features)


def reference_rows(real: RealImages) -> Tensor:
    """The rows of the split, ascending, that the features of `real_reference` are of."""
    return real.indices[_kept_of_large(real)] if _is_large(real) else real.indices


def cacheable_part(real: RealImages) -> RealImages:
    """The same, of a large set `MAX_CACHED_FEATURES` drawn ones, whose features are kept."""
    return replace(real, count=MAX_CACHED_FEATURES) if _is_large(real) else real


def _is_large(real: RealImages) -> bool:
    return len(real.indices) > MAX_CACHED_FEATURES


def _kept_of_large(real: RealImages) -> Tensor:
    return chosen_indices(len(real.indices), MAX_CACHED_FEATURES, seed=0)
