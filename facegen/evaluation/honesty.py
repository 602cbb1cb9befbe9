"""What stands beside a score so that it is not believed too much: real images judged like generated ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facegen.evaluation.reference_statistics import RealImages, real_features
from facegen.formats.dataset import Dataset
from facegen.metrics._features import ReferenceFeatures
from facegen.models.feature_networks import FeatureExtractor
from facegen.protocols import Progress

MIN_SAMPLES = 16  # below this nothing is said of covariances and neighbours


@dataclass(frozen=True)
class RealFloor:
    """Real images at the sample's count; no generator can be asked to come closer to the reference.

    `method` is "held-out": images of other splits against the same reference; or "halves": two disjoint
    parts of the reference split, where the other splits hold too few images. `reference` is what `features`
    (N, D) are to be compared with.
    """

    features: Tensor
    reference: ReferenceFeatures
    method: str

    def to_json(self) -> dict[str, int | str]:
        return {
            "num_samples": len(self.features),
            "num_reference": self.reference.statistics.num_samples,
            "method": self.method,
        }


def real_floor(
    dataset: Dataset,
    split: str,
    reference: ReferenceFeatures,
    extractor: FeatureExtractor,
    *,
    num_samples: int,
    seed: int,
    batch_size: int,
    progress: Progress,
) -> RealFloor | None:
    """`num_samples` real images to be judged in the sample's place, None if there are not enough of them."""
    counts = dataset.manifest.counts
    others = [name for name in dataset.splits if name != split]
    held_out = next((name for name in others if counts[name] >= num_samples), None)
    if held_out is not None:
        chosen = RealImages(dataset, held_out, num_samples, seed)
        return RealFloor(real_features(chosen, extractor, batch_size, progress), reference, "held-out")
    features = reference.features
    taken = min(num_samples, len(features) // 2)
    if taken < MIN_SAMPLES:
        return None
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))
    rest = ReferenceFeatures.of(features[order[taken:]])
    return RealFloor(features[order[:taken]], rest, "halves")
