"""Share of images that are suspiciously near to a training image, held against unseen real faces."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.errors import DataError
from facegen.metrics._binomial import wilson_interval
from facegen.metrics._neighbours import NearestTraining, Neighbours

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Config", "CopyDetector", "NearestTraining", "Neighbours", "build"]

FeatureFunction = Callable[[Tensor], Tensor]
"""uint8 (B, 3, H, W) -> features (B, D) float32 on the CPU."""


class Config(KindConfig):
    """`nominal_rate` is the share of unseen real faces that may be flagged."""

    kind: Literal["memorization"] = "memorization"
    num_neighbours: int = Field(default=10, ge=1)
    nominal_rate: float = Field(default=0.01, gt=0, lt=0.5)
    seed: int = Field(default=0, ge=0)


def build(
    config: Config, *, features: FeatureFunction, train: Tensor, mirrored: Tensor, held_out: Tensor
) -> CopyDetector:
    """The detector for copies of training images with features `train` (N, D), `mirrored` (N, D) those of
    their mirror images, and `held_out` (M, D) those of real faces the generator never saw.

    Raises:
        DataError: too few training or held-out images; says how many are needed.
    """
    return CopyDetector(config, features, train, mirrored, held_out)


class CopyDetector:
    """`Metric` that flags images whose nearest training image is nearer than unseen real faces have theirs.

    The threshold is a split-conformal one (Vovk et al. 2005; Angelopoulos & Bates 2023, arXiv:2107.07511)
    on half of the held-out faces, so that an unseen real face is flagged with at most `nominal_rate`
    probability; the other half tells whether that holds.
    """

    def __init__(
        self, config: Config, features: FeatureFunction, train: Tensor, mirrored: Tensor, held_out: Tensor
    ) -> None:
        rank, needed = _rank(len(held_out) // 2, config.nominal_rate), _needed(config.nominal_rate)
        if rank < 1:
            raise DataError(
                f"{len(held_out):,} held-out faces are too few for a threshold that "
                f"{config.nominal_rate:.2%} of unseen faces pass: {needed:,} are needed, half to set it and "
                "half to check it.",
                hint="Prepare the data set with larger validation and test splits, or allow a higher "
                "--nominal-rate.",
            )
        if len(train) <= config.num_neighbours:
            raise DataError(
                f"{len(train)} training images are too few: each sample is compared with its nearest one "
                f"and {config.num_neighbours} more."
            )
        self._features = features
        self._nominal_rate = config.nominal_rate
        self._search = NearestTraining(train, mirrored, config.num_neighbours)
        order = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(config.seed))
        scores = self._search.search(held_out[order]).score
        calibration, self._checked = scores[: len(scores) // 2], scores[len(scores) // 2 :]
        self._num_calibration = len(calibration)
        self.threshold = float(calibration.sort().values[rank - 1])
        self._found: list[Neighbours] = []

    def update(self, images: Tensor, records: pd.DataFrame | None = None) -> Neighbours:
        """Add uint8 images (B, 3, H, W); returns their nearest training images."""
        found = self._search.search(self._features(images))
        self._found.append(found)
        return found

    def flagged(self, scores: Tensor) -> Tensor:
        """Which scores (B,) are those of copies, bool (B,)."""
        return scores < self.threshold

    def compute(self) -> dict[str, Any]:
        """The share flagged with its 95 % Wilson interval, and the same of the held-out faces checked.

        `{"share", "low", "high", "num_flagged", "num_samples", "threshold", "nominal_rate", "held_out":
        {"share", "low", "high", "num_flagged", "num_samples", "num_calibration"}}`

        Raises:
            DataError: there were no images.
        """
        if not self._found:
            raise DataError("There are no images to judge.")
        return {
            **self._share(Neighbours.cat(self._found).score),
            "threshold": self.threshold,
            "nominal_rate": self._nominal_rate,
            "held_out": {**self._share(self._checked), "num_calibration": self._num_calibration},
        }

    def _share(self, scores: Tensor) -> dict[str, float | int]:
        hits, count = int(self.flagged(scores).sum()), len(scores)
        low, high = wilson_interval(hits, count)
        return {"share": hits / count, "low": low, "high": high, "num_flagged": hits, "num_samples": count}


def _rank(count: int, rate: float) -> int:
    """Which of `count` ascending scores is the threshold: a new one is below it with `rate` or less."""
    return math.floor(rate * (count + 1) + 1e-9)


def _needed(rate: float) -> int:
    return 2 * (math.ceil(1 / rate - 1e-9) - 1)
