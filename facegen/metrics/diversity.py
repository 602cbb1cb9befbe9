"""How different the people of a set of faces are from one another: the spread of a face encoder's vectors."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal, TypedDict

import torch
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.formats.classifier_run import CLASSIFIER_PREFIX
from facegen.formats.influences import Influence
from facegen.metrics._features import FeatureMetric, ReferenceFeatures, Score
from facegen.metrics._intervals import Z95

CHUNK = 2048
MIN_FACES = 16
ERROR_RATE = 0.05  # that any group is called narrower where none is


class Config(KindConfig, frozen=True):
    kind: Literal["diversity"] = "diversity"


class Diversity(FeatureMetric):
    """`diversity`: the mean distance of two faces of the set, unbiased at any number of faces.

    Its interval is of a U-statistic (Hoeffding 1948): each face moves it by twice what its own mean distance
    is off the mean. Reference faces take no part; the same of real faces stands beside it. A classifier's
    features stand in for a face encoder's where there is none.
    """

    min_samples = MIN_FACES
    why_so_many = "a spread of people, whose interval needs more than a handful of faces"
    depends_on_count = False
    needs_features = "dlib-face"

    def __init__(self, config: Config, *, reference: ReferenceFeatures) -> None:
        self._config = config

    @classmethod
    def takes(cls, features: str) -> bool:
        return features == cls.needs_features or features.startswith(CLASSIFIER_PREFIX)

    def values(self, features: Tensor) -> dict[str, float]:
        return {"diversity": float(own_distances(features).mean())}

    def judge(self, features: Tensor) -> dict[str, Score]:
        value, influence = _spread(own_distances(features))
        error = influence.variance**0.5
        ends = (value - Z95 * error, value + Z95 * error)
        told = "the mean distance of two people that the model draws"
        return {"diversity": Score(value, "higher", value, *ends, error, told, influence=influence)}


build = Diversity


class Spread(TypedDict):
    """A mean distance of two faces, or the difference of two, with its 95 % interval."""

    value: float
    low: float
    high: float


class GroupSpread(TypedDict):
    """How different drawn people of a group are from one another, beside as many real ones.

    `difference` is what `drawn` is above `real`; the three are None where either side has too few faces.
    `narrower`: the drawn people are more alike beyond doubt, also for that many groups.
    """

    num_samples: int
    num_real: int
    drawn: Spread | None
    real: Spread | None
    difference: Spread | None
    narrower: bool


def group_spreads(ours: Tensor, real: Tensor, groups: Sequence[tuple[Tensor, Tensor]]) -> list[GroupSpread]:
    """Spreads of drawn features (N, D) and of real ones (M, D) within each of `groups`, which are the
    members of either side, bool (N,) and (M,)."""
    sides = [torch.stack(side, dim=1) for side in zip(*groups, strict=True)]  # (N, G) and (M, G)
    within = [_within(features, members) for features, members in zip((ours, real), sides, strict=True)]
    counts = [(int(ours_in.sum()), int(real_in.sum())) for ours_in, real_in in groups]
    told = [min(pair) >= MIN_FACES for pair in counts]
    surely = NormalDist().inv_cdf(1 - ERROR_RATE / max(1, sum(told)))  # Bonferroni's, one-sided
    rows: list[GroupSpread] = []
    for number, ((num_samples, num_real), enough) in enumerate(zip(counts, told, strict=True)):
        row: GroupSpread = {
            "num_samples": num_samples,
            "num_real": num_real,
            "drawn": None,
            "real": None,
            "difference": None,
            "narrower": False,
        }
        if enough:
            found = [
                _spread(own[members[:, number], number]) for own, members in zip(within, sides, strict=True)
            ]
            (drawn, moved), (others, others_moved) = found
            error = (moved.variance + others_moved.variance) ** 0.5
            row["drawn"], row["real"] = _interval(drawn, moved), _interval(others, others_moved)
            row["difference"] = _ends(drawn - others, error)
            row["narrower"] = drawn - others < -surely * error
        rows.append(row)
    return rows


def own_distances(features: Tensor) -> Tensor:
    """The mean distance of each of features (N, D) to all others, float64 (N,)."""
    return _within(features, torch.ones(len(features), 1, dtype=torch.bool))[:, 0]


def _within(features: Tensor, members: Tensor) -> Tensor:
    """The mean distance of each of features (N, D) to all others of each group, whose `members` (N, G) are
    bool, float64 (N, G); of what is not in a group itself nothing is meant."""
    others, weights = features.double(), members.double()
    parts = [torch.cdist(part, others) @ weights for part in torch.split(others, CHUNK)]
    return torch.cat(parts) / (weights.sum(0) - 1).clamp_min(1)


def _spread(own: Tensor) -> tuple[float, Influence]:
    """The mean of own distances (N,), and what each face does to it."""
    value = float(own.mean())
    return value, Influence((2 * (own - value)).float())


def _interval(value: float, moved: Influence) -> Spread:
    return _ends(value, moved.variance**0.5)


def _ends(value: float, error: float) -> Spread:
    return {"value": value, "low": value - Z95 * error, "high": value + Z95 * error}
