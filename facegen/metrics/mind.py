"""MIND, the Monge Inception distance: sliced Wasserstein distance of features (Berthet et al. 2026,
arXiv:2605.06797).

Letters: n images of either set, D features, P directions.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.formats.influences import Influence
from facegen.metrics._features import FeatureMetric, ReferenceFeatures, Score
from facegen.metrics._frechet import linalg
from facegen.metrics._intervals import Z95

CUSTOMARY_SAMPLES = 5_000
SEED = 2020  # torch-fidelity's
AT_ONCE = 100  # directions
SCALE_PER_FEATURE = 3.0  # the authors', so that numbers are of a FID's size


class Config(KindConfig, frozen=True):
    """`projections` is the number of random directions; the default is the authors'."""

    kind: Literal["mind"] = "mind"
    projections: int = Field(default=1000, ge=1)


class MongeDistance(FeatureMetric):
    """`mind`: 3 D times the mean over random directions of the squared distance between the sorted shadows of
    both sets.

    Both sets count with as many images: of the larger one that many are drawn. Directions and draws are those
    of torch-fidelity. The interval is over images, the directions held as they are.
    """

    why_so_many = "a transport distance, which compares the order of images along a direction"

    def __init__(self, config: Config, *, reference: ReferenceFeatures) -> None:
        self._config, self._reference = config, reference.features

    def values(self, features: Tensor) -> dict[str, float]:
        return {"mind": self._distance(features)[0]}

    def judge(self, features: Tensor) -> dict[str, Score]:
        value, of_images, of_reference = self._distance(features)
        influence = Influence(of_images.float(), of_reference.float(), len(of_reference))
        error = influence.variance**0.5
        low, high = max(0.0, value - Z95 * error), value + Z95 * error
        about = "the distance at this number of images, its bias included"
        return {"mind": Score(value, "lower", value, low, high, error, about, influence=influence)}

    def settings(self, num_samples: int) -> dict[str, Any]:
        return {"mind_projections": self._config.projections, "mind_images": self._count(num_samples)}

    def remarks(self, num_samples: int, num_features: int) -> list[str]:
        count = self._count(num_samples)
        if count >= CUSTOMARY_SAMPLES:
            return []
        return [f"MIND: {count:,} images a side; biased upwards beside one from {CUSTOMARY_SAMPLES:,}."]

    def _count(self, num_samples: int) -> int:
        return min(num_samples, len(self._reference))

    def _distance(self, features: Tensor) -> tuple[float, Tensor, Tensor]:
        """The distance and the influences of the images of either set, (n,) float64 each."""
        generator = torch.Generator().manual_seed(SEED)
        count, width = self._count(len(features)), features.shape[1]
        ours, theirs = (_drawn(one, count, generator) for one in (features, self._reference))
        directions = torch.randn(self._config.projections, width, generator=generator)
        directions = directions / linalg.vector_norm(directions, dim=1, keepdim=True)
        total = 0.0
        of_ours, of_theirs = (torch.zeros(count, dtype=torch.float64) for _ in range(2))
        for part in directions.split(AT_ONCE):
            (x, order_x), (y, order_y) = ((one @ part.T).sort(dim=0) for one in (ours, theirs))  # (n, P)
            total += float((x - y).double().square().mean(0).sum())
            for at, to, order, influence in ((x, y, order_x, of_ours), (y, x, order_y, of_theirs)):
                influence.index_add_(0, order.flatten(), _potential(at, to).flatten())
        scale = SCALE_PER_FEATURE * width / len(directions)
        return scale * total, scale * of_ours, scale * of_theirs


build = MongeDistance


def _drawn(features: Tensor, count: int, generator: torch.Generator) -> Tensor:
    if len(features) == count:
        return features
    return features[torch.randperm(len(features), generator=generator)[:count]]


def _potential(at: Tensor, to: Tensor) -> Tensor:
    """What a little more weight at each of the ascending places `at` (n, P) adds to the squared distance from
    those that they are carried `to`, (n, P) float64.

    It is Kantorovich's potential, whose slope is 2 (x - T(x)) under transport T.
    """
    slopes, steps = 2 * (at - to).double(), at.diff(dim=0).double()
    rises = (slopes[1:] + slopes[:-1]) / 2 * steps
    return torch.cat([torch.zeros_like(slopes[:1]), rises.cumsum(0)])
