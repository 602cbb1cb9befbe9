"""How different the people of a set of faces are from one another: the spread of a face encoder's vectors."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.formats.influences import Influence
from facegen.metrics._features import FeatureMetric, ReferenceFeatures, Score
from facegen.metrics._intervals import Z95

CHUNK = 2048


class Config(KindConfig, frozen=True):
    kind: Literal["diversity"] = "diversity"


class Diversity(FeatureMetric):
    """`diversity`: the mean distance of two faces of the set, unbiased at any number of faces.

    Its interval is of a U-statistic (Hoeffding 1948): each face moves it by twice what its own mean distance
    is off the mean. Reference faces take no part; the same of real faces stands beside it.
    """

    why_so_many = "a spread of people, whose interval needs more than a handful of faces"
    depends_on_count = False
    needs_features = "dlib-face"

    def __init__(self, config: Config, *, reference: ReferenceFeatures) -> None:
        self._config = config

    def values(self, features: Tensor) -> dict[str, float]:
        return {"diversity": float(own_distances(features).mean())}

    def judge(self, features: Tensor) -> dict[str, Score]:
        own = own_distances(features)
        value, moves = float(own.mean()), 2 * (own - own.mean())
        influence = Influence(moves.float())
        error = influence.variance**0.5
        ends = (value - Z95 * error, value + Z95 * error)
        told = "the mean distance of two people that the model draws"
        return {"diversity": Score(value, "higher", value, *ends, error, told, influence=influence)}


build = Diversity


def own_distances(features: Tensor) -> Tensor:
    """The mean distance of each of features (N, D) to all others, float64 (N,)."""
    others = features.double()
    parts = [torch.cdist(part, others).sum(1) for part in torch.split(others, CHUNK)]
    return torch.cat(parts) / (len(features) - 1)
