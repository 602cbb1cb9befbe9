"""Real images as the judges see them: the reference, and what stands beside a score so that it is not
believed too much, real images judged like generated ones. Cached by what they depend on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from facegen.evaluation.code_fingerprint import modules_of
from facegen.evaluation.feature_cache import Viewer, cached_tensors
from facegen.evaluation.image_sources import batches, chosen_indices
from facegen.formats.dataset import Dataset
from facegen.metrics import FeatureStatistics, ReferenceFeatures
from facegen.models.feature_networks import FeatureExtractor

MAX_CACHED_FEATURES = 30_000  # 0.25 GB at 2048 features
MIN_SAMPLES = 16  # below this nothing is said of covariances and neighbours


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


def real_features(real: RealImages, viewer: Viewer) -> Tensor:
    """Features (N, D) float32 of real images, from the cache where they are.

    Those of a large set (over `MAX_CACHED_FEATURES` images) are not kept: its statistics are.
    """

    def compute() -> dict[str, Tensor]:
        indices = real.indices
        parts = batches(real.dataset.split(real.split), indices, viewer.batch_size)
        return {"features": viewer.features(parts, len(indices), f"Features of real images ({real.split})")}

    if len(real.indices) > MAX_CACHED_FEATURES:
        return compute()["features"]
    key = {"what": "features", **real.key(viewer.extractor)}
    seen = modules_of(viewer.extractor, real.dataset, batches)
    return cached_tensors(key, seen, compute, viewer.progress)["features"]


def real_reference(real: RealImages, viewer: Viewer) -> ReferenceFeatures:
    """The Gaussian of real images' features and the features themselves, from the cache where they are.

    Of a large set (over `MAX_CACHED_FEATURES` images) all count for the Gaussian, and that many drawn
    features are kept.
    """
    large = len(real.indices) > MAX_CACHED_FEATURES

    def compute() -> dict[str, Tensor]:
        features = real_features(real, viewer)
        statistics = FeatureStatistics.of(features)
        count = torch.tensor(statistics.num_samples)
        kept = {"mean": statistics.mean, "root": statistics.root, "num_samples": count}
        if large:
            kept["features"] = features[chosen_indices(len(features), MAX_CACHED_FEATURES, seed=0)]
        return kept

    key = {"what": "reference" if large else "statistics", **real.key(viewer.extractor)}
    seen = modules_of(viewer.extractor, real.dataset, batches, FeatureStatistics)
    kept = cached_tensors(key, seen, compute, viewer.progress)
    statistics = FeatureStatistics(kept["mean"], kept["root"], int(kept["num_samples"]))
    features = kept["features"] if large else real_features(real, viewer)
    return ReferenceFeatures(statistics, features)


@dataclass(frozen=True)
class RealFloor:
    """Real images at the sample's count; no generator can be asked to come closer to the reference.

    `method` is "held-out": images of other splits against the same reference; or "halves": two disjoint
    parts of the reference split, where the other splits hold too few images. `reference` is what `features`
    (N, D) are to be compared with.
    """

    features: Tensor
    reference: ReferenceFeatures
    method: Literal["held-out", "halves"]

    @property
    def facts(self) -> dict[str, Any]:
        """What a report says of it: how the images were chosen, and how many are compared with how many."""
        num_reference = self.reference.statistics.num_samples
        return {"num_samples": len(self.features), "num_reference": num_reference, "method": self.method}


def real_floor(sample: RealImages, reference: ReferenceFeatures, viewer: Viewer) -> RealFloor | None:
    """Real images to be judged in the sample's place, which is `count` images against the `split`; None if
    there are not enough of them."""
    num_samples, counts = sample.count or 0, sample.dataset.manifest.counts
    others = [name for name in sample.dataset.splits if name != sample.split]
    held_out = next((name for name in others if counts[name] >= num_samples), None)
    if held_out is not None:
        return RealFloor(real_features(replace(sample, split=held_out), viewer), reference, "held-out")
    features = reference.features
    taken = min(num_samples, len(features) // 2)
    if taken < MIN_SAMPLES:
        return None
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(sample.seed))
    rest = ReferenceFeatures.of(features[order[taken:]])
    return RealFloor(features[order[:taken]], rest, "halves")
