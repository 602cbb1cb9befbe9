"""What stands beside a score so that it is not believed too much: the floor that real images reach,
and remarks on the sample count."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from facegen.errors import DataError
from facegen.evaluation.features import FeatureExtractor
from facegen.evaluation.statistics import RealImages, real_features
from facegen.formats.dataset import Dataset
from facegen.metrics.fid import FeatureStatistics, frechet_distance
from facegen.protocols import Progress

MIN_SAMPLES = 16  # below this a covariance of hundreds of features says nothing at all
CUSTOMARY_SAMPLES = 10_000


@dataclass(frozen=True)
class RealFloor:
    """The distance that real images themselves have at this sample count; no generator can be asked for less.

    `method` is "held-out": images of other splits against the same reference; or "halves": two disjoint
    parts of the reference split, where the other splits hold too few images.
    """

    score: float
    num_samples: int
    num_reference: int
    method: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check_sample_count(num_samples: int, what: str) -> None:
    """Refuse a sample too small for a covariance.

    Raises:
        DataError: fewer than `MIN_SAMPLES`.
    """
    if num_samples < MIN_SAMPLES:
        raise DataError(
            f"{what}: {num_samples} images are too few for a Fréchet distance, which compares covariances of "
            f"hundreds of features; at least {MIN_SAMPLES} are needed, {CUSTOMARY_SAMPLES:,} are customary.",
            hint="Give more images, or ask for more with --num-samples.",
        )


def remarks_on(num_samples: int, num_reference: int, num_features: int) -> list[str]:
    """Sentences on what the counts do to the score; empty where they are ample."""
    remarks = []
    if num_samples <= num_features:
        remarks.append(
            f"{num_samples:,} samples for {num_features:,} features: the covariance is rank-deficient and "
            "the score biased upwards. Compare only scores with the same number of samples."
        )
    elif num_samples < CUSTOMARY_SAMPLES:
        remarks.append(
            f"{num_samples:,} samples: the score is biased upwards beside one from {CUSTOMARY_SAMPLES:,}."
        )
    if num_reference <= num_features:
        remarks.append(f"The reference has only {num_reference:,} images for {num_features:,} features.")
    return remarks


def real_floor(
    dataset: Dataset,
    split: str,
    reference: FeatureStatistics,
    extractor: FeatureExtractor,
    *,
    num_samples: int,
    seed: int,
    batch_size: int,
    progress: Progress,
) -> RealFloor | None:
    """Distance of `num_samples` real images from real images, or None if there are not enough of them."""
    counts = dataset.manifest.counts
    others = [name for name in dataset.splits if name != split]
    held_out = next((name for name in others if counts[name] >= num_samples), None)
    if held_out is not None:
        chosen = RealImages(dataset, held_out, num_samples, seed)
        features = real_features(chosen, extractor, batch_size, progress)
        score = frechet_distance(FeatureStatistics.of(features), reference)
        return RealFloor(score, len(features), reference.num_samples, "held-out")
    half = counts[split] // 2
    taken = min(num_samples, half)
    if taken < MIN_SAMPLES:
        return None
    features = real_features(RealImages(dataset, split), extractor, batch_size, progress)
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))
    one, rest = features[order[:taken]], features[order[taken:]]
    score = frechet_distance(FeatureStatistics.of(one), FeatureStatistics.of(rest))
    return RealFloor(score, taken, len(rest), "halves")
