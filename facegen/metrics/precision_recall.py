"""Precision and recall of generated images over k-nearest-neighbour manifolds (Kynkäänniemi et al. 2019,
arXiv:1904.06991), with density and coverage (Naeem et al. 2020, arXiv:2002.09797)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.formats.influences import Influence
from facegen.metrics._features import FeatureMetric, ReferenceFeatures, Score
from facegen.metrics._intervals import Z95, wilson_interval

CHUNK = 10_000  # torch-fidelity's
NEIGHBOURS, COVERAGE_NEIGHBOURS = 3, 5  # span the balls of precision and recall, and of the other two


class Config(KindConfig, frozen=True):
    kind: Literal["precision_recall"] = "precision_recall"


class PrecisionRecall(FeatureMetric):
    """`precision`: share of generated images among the real ones; `recall`: share of real ones among the
    generated. `density`: how many real neighbourhoods a generated image is in, over k; `coverage`: share of
    real neighbourhoods that hold a generated image.

    The intervals are over images, the neighbourhoods held as they are. Coverage has none: its real images are
    what is counted and what spans the balls, and an interval as of a share held the truth in 89 % of draws.
    """

    why_so_many = "precision and recall, which are made of nearest neighbours"

    def __init__(self, config: Config, *, reference: ReferenceFeatures) -> None:
        self._reference = reference.features
        self._radii: Tensor | None = None

    def values(self, features: Tensor) -> dict[str, float]:
        return {name: float(found.double().mean()) for name, found in self._found(features).items()}

    def judge(self, features: Tensor) -> dict[str, Score]:
        found = self._found(features)
        # in recall and coverage the generated images' luck is that of balls, which influences would not show
        scores = {name: share_score(found[name], _ABOUT[name]) for name in ("precision", "recall")}
        scores["precision"] = replace(scores["precision"], influence=Influence(found["precision"].float()))
        covered = float(found["coverage"].double().mean())
        scores["coverage"] = Score(covered, "higher", covered, interval_of=_ABOUT["coverage"])
        inside = found["density"].double()
        value, error = float(inside.mean()), float(inside.std()) / len(inside) ** 0.5
        low, high = max(0.0, value - Z95 * error), value + Z95 * error
        influence = Influence(inside.float())
        scores["density"] = Score(
            value, "higher", value, low, high, error, _ABOUT["density"], influence=influence
        )
        return scores

    def settings(self, num_samples: int) -> dict[str, Any]:
        return {
            "neighbours": NEIGHBOURS,
            "coverage_neighbours": COVERAGE_NEIGHBOURS,
            "num_real": len(self._reference),
        }

    def remarks(self, num_samples: int, num_features: int) -> list[str]:
        count = len(self._reference)
        if max(count, num_samples) <= 2 * min(count, num_samples):
            return []
        return [
            f"Precision and recall: {num_samples:,} images against {count:,} real ones; the larger set has "
            "the tighter neighbourhoods, so compare at equal counts only."
        ]

    def _found(self, features: Tensor) -> dict[str, Tensor]:
        """Per image what is averaged: precision and density (N,), recall and coverage (M,)."""
        real = self._reference
        if self._radii is None:
            self._radii = radii(real, (NEIGHBOURS, COVERAGE_NEIGHBOURS))
        real_balls, wide_balls = self._radii.unbind(1)
        [own_balls] = radii(features, (NEIGHBOURS,)).unbind(1)
        precision: list[Tensor] = []
        density: list[Tensor] = []
        covered = torch.zeros(len(real), dtype=torch.bool)
        for part in torch.split(features, CHUNK):
            distances = _distances(part, real)
            precision.append((distances <= real_balls).any(1))
            within = distances < wide_balls  # the authors' balls are open here
            density.append(within.sum(1) / COVERAGE_NEIGHBOURS)
            covered |= within.any(0)
        recall = [(_distances(part, features) <= own_balls).any(1) for part in torch.split(real, CHUNK)]
        return {
            "precision": torch.cat(precision),
            "recall": torch.cat(recall),
            "coverage": covered,
            "density": torch.cat(density),
        }


build = PrecisionRecall

_ABOUT = {
    "precision": "the share of generated images among these real ones",
    "recall": "the share of real images among these generated ones",
    "coverage": "the share of real neighbourhoods that hold one of these generated images",
    "density": "the mean number of real neighbourhoods around a generated image, over k",
}


def radii(features: Tensor, neighbours: tuple[int, ...]) -> Tensor:
    """Distances (N, len(neighbours)) of each feature to its k-th neighbours, itself not counted."""
    rows: list[Tensor] = []
    for part in torch.split(features, CHUNK):
        nearest = _distances(part, features).topk(max(neighbours) + 1, largest=False).values
        rows.append(nearest[:, list(neighbours)])
    return torch.cat(rows)


def share_score(hits: Tensor, about: str) -> Score:
    """The share of `hits` (N,) bool with Wilson's 95 % interval."""
    count, share = len(hits), float(hits.double().mean())
    low, high = wilson_interval(int(hits.sum()), count)
    return Score(share, "higher", share, low, high, (high - low) / (2 * Z95), about)


def _distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cat([torch.cdist(x, part) for part in torch.split(y, CHUNK)], 1)
