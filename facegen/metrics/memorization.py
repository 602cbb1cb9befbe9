"""Share of images that are suspiciously near to a training image, held against unseen real faces.

Letters: B queries, N training images, D features, K neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.errors import DataError
from facegen.metrics._features import FeatureFunction, joined
from facegen.metrics._frechet import linalg
from facegen.metrics._intervals import Share, share_of

if TYPE_CHECKING:
    import pandas as pd

QUERY_BLOCK, TRAIN_BLOCK = 512, 8192  # 16 MB of distances at a time
NUM_NEIGHBOURS = 10  # beside the nearest


class Config(KindConfig, frozen=True):
    """`nominal_rate` is the share of unseen real faces that may be flagged."""

    kind: Literal["memorization"] = "memorization"
    nominal_rate: float = Field(default=0.01, gt=0, lt=0.5)
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class Neighbours:
    """The nearest training image of each query: its `index` (B,), whether `mirrored` (B,) is nearer than as
    it is, the Euclidean `distance` (B,), and the relative `score` (B,); see `nearest_training`."""

    index: Tensor
    mirrored: Tensor
    distance: Tensor
    score: Tensor

    @classmethod
    def cat(cls, parts: list[Self]) -> Self:
        return cls(*map(torch.cat, zip(*(vars(part).values() for part in parts), strict=True)))

    def __getitem__(self, queries: Tensor | slice) -> Self:
        return type(self)(*(part[queries] for part in vars(self).values()))


def nearest_training(features: Tensor, plain: Tensor, mirrored: Tensor) -> Neighbours:
    """The nearest of training images to each query (B, D), by their features `plain` (N, D) and those of the
    mirrored images, `mirrored` (N, D).

    `score` is the distance to the nearest image over the mean distance to the K next ones, in [0, 1]: 0 for a
    copy, near 1 for a face that has no image of its own. What the distance to the nearest image alone says
    depends on how crowded the face's part of the space is. An image and its mirror image count once, which
    no library's search knows.
    """
    ways = plain.float(), mirrored.float()
    return Neighbours.cat([_block(part.float(), ways) for part in torch.split(features, QUERY_BLOCK)])


def _block(queries: Tensor, ways: tuple[Tensor, Tensor]) -> Neighbours:
    def relative(references: Tensor) -> Tensor:
        """Squared distances, less the queries' own norms, which do not change the order."""
        return references.square().sum(1) - 2 * queries @ references.T

    blocks = zip(*(torch.split(way, TRAIN_BLOCK) for way in ways), strict=True)
    nearer = [torch.minimum(relative(plain), relative(mirrored)) for plain, mirrored in blocks]
    _, order = torch.cat(nearer, dim=1).topk(NUM_NEIGHBOURS + 1, dim=1, largest=False)  # (B, 1 + K)
    # products lose the digits of small distances, so those of the few found are computed anew
    both = torch.stack([linalg.vector_norm(queries[:, None] - way[order], dim=2) for way in ways])
    distances, again = both.amin(0).sort(dim=1)  # (B, 1 + K)
    first = again[:, :1]
    mirrored = (both[1] < both[0]).gather(1, first)[:, 0]
    index = order.gather(1, first)[:, 0]
    others = distances[:, 1:].mean(1).clamp_min(torch.finfo(distances.dtype).tiny)
    return Neighbours(index, mirrored, distances[:, 0], distances[:, 0] / others)


class Flagged(Share):
    """The share of images flagged as copies."""

    num_flagged: int
    num_samples: int


class CopyDetector:
    """`Metric` that flags images whose nearest training image is nearer than unseen real faces have theirs.

    The threshold is a split-conformal one (Vovk et al. 2005; Angelopoulos & Bates 2023, arXiv:2107.07511)
    on half of the held-out faces, so that an unseen real face is flagged with at most `nominal_rate`
    probability; the other half tells whether that holds.

    Args:
        train: features (N, D) of the training images; `mirrored` (N, D) those of their mirror images.
        held_out: features (M, D) of real faces the generator never saw.

    Raises:
        DataError: too few training or held-out images; says how many are needed.
    """

    def __init__(
        self, config: Config, *, features: FeatureFunction, train: Tensor, mirrored: Tensor, held_out: Tensor
    ) -> None:
        rate = config.nominal_rate
        # the score of this rank, ascending, is the threshold: a new one is below it with `rate` or less
        rank = math.floor(rate * (len(held_out) // 2 + 1) + 1e-9)
        if rank < 1:
            needed = 2 * (math.ceil(1 / rate - 1e-9) - 1)
            raise DataError(
                f"{len(held_out):,} held-out faces are too few for a threshold that "
                f"{rate:.2%} of unseen faces pass: {needed:,} are needed, half to set it and "
                "half to check it.",
                hint="Prepare the data set with larger validation and test splits, or allow a higher "
                "--nominal-rate.",
            )
        if len(train) <= NUM_NEIGHBOURS:
            raise DataError(
                f"{len(train)} training images are too few: each sample is compared with its nearest one "
                f"and {NUM_NEIGHBOURS} more."
            )
        self._features = features
        self._nominal_rate = rate
        self._search = partial(nearest_training, plain=train, mirrored=mirrored)
        order = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(config.seed))
        scores = self._search(held_out[order]).score
        calibration, self._checked = scores[: len(scores) // 2], scores[len(scores) // 2 :]
        self._num_calibration = len(calibration)
        self.threshold = float(calibration.sort().values[rank - 1])
        self._scores: list[Tensor] = []

    def update(self, images: Tensor, records: pd.DataFrame | None = None) -> Neighbours:
        """Add uint8 images (B, 3, H, W); returns their nearest training images."""
        found = self._search(self._features(images))
        self._scores.append(found.score)
        return found

    def flagged(self, scores: Tensor) -> Tensor:
        """Which scores (B,) are those of copies, bool (B,)."""
        return scores < self.threshold

    def per_image(self) -> Tensor:
        """Which images were flagged, bool (N,), in the order they came.

        Raises:
            DataError: there were no images.
        """
        return self.flagged(joined(self._scores))

    def compute(self) -> dict[str, Any]:
        """The share flagged with its 95 % Wilson interval, and the same of the held-out faces checked.

        `{"share", "low", "high", "num_flagged", "num_samples", "threshold", "nominal_rate", "held_out":
        {"share", "low", "high", "num_flagged", "num_samples", "num_calibration"}}`

        Raises:
            DataError: there were no images.
        """
        return {
            **self._share(joined(self._scores)),
            "threshold": self.threshold,
            "nominal_rate": self._nominal_rate,
            "held_out": {**self._share(self._checked), "num_calibration": self._num_calibration},
        }

    def _share(self, scores: Tensor) -> Flagged:
        hits, count = int(self.flagged(scores).sum()), len(scores)
        return {**share_of(hits, count), "num_flagged": hits, "num_samples": count}


build = CopyDetector
