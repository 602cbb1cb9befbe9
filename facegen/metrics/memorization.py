"""Share of images that are suspiciously near to a training image, held against unseen real faces.

Letters: B queries, N training images, D features, K neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
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
FEWEST_PEOPLE = 20  # unseen ones
MOST_PHOTOS = 2000  # of training people, to find out what a judge of people sees


class Config(KindConfig, frozen=True):
    """`nominal_rate` is the share of unseen real faces that may be flagged; for `skipped` see
    `nearest_training`."""

    kind: Literal["memorization"] = "memorization"
    nominal_rate: float = Field(default=0.01, gt=0, lt=0.5)
    skipped: int = Field(default=0, ge=0)
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


def nearest_training(
    features: Tensor, plain: Tensor, mirrored: Tensor, *, skipped: int = 0, excluded: Tensor | None = None
) -> Neighbours:
    """The nearest of training images to each query (B, D), by their features `plain` (N, D) and those of the
    mirrored images, `mirrored` (N, D); the image `excluded` (B,) of each query is none of them.

    `score` is the distance to the nearest image over the mean distance to the K next ones, in [0, 1]: 0 for a
    copy, near 1 for a face that has no image of its own. What the distance to the nearest image alone says
    depends on how crowded the face's part of the space is. An image and its mirror image count once, which
    no library's search knows. `skipped` images come between the nearest and the next ones: where people are
    looked for, as many as one person may have.
    """
    ways, rows = (plain.float(), mirrored.float()), torch.arange(len(features))
    parts = torch.split(rows, QUERY_BLOCK)
    blocks = ((features[part].float(), None if excluded is None else excluded[part]) for part in parts)
    return Neighbours.cat([_block(queries, ways, skipped, without) for queries, without in blocks])


def _block(queries: Tensor, ways: tuple[Tensor, Tensor], skipped: int, excluded: Tensor | None) -> Neighbours:
    def relative(references: Tensor) -> Tensor:
        """Squared distances, less the queries' own norms, which do not change the order."""
        return references.square().sum(1) - 2 * queries @ references.T

    blocks = zip(*(torch.split(way, TRAIN_BLOCK) for way in ways), strict=True)
    nearer = torch.cat([torch.minimum(relative(plain), relative(other)) for plain, other in blocks], dim=1)
    if excluded is not None:
        nearer.scatter_(1, excluded[:, None], math.inf)
    _, order = nearer.topk(skipped + NUM_NEIGHBOURS + 1, dim=1, largest=False)  # (B, 1 + skipped + K)
    # products lose the digits of small distances, so those of the few found are computed anew
    both = torch.stack([linalg.vector_norm(queries[:, None] - way[order], dim=2) for way in ways])
    distances, again = both.amin(0).sort(dim=1)  # (B, 1 + skipped + K)
    first = again[:, :1]
    mirrored = (both[1] < both[0]).gather(1, first)[:, 0]
    index = order.gather(1, first)[:, 0]
    others = distances[:, 1 + skipped :].mean(1).clamp_min(torch.finfo(distances.dtype).tiny)
    return Neighbours(index, mirrored, distances[:, 0], distances[:, 0] / others)


def halves(people: Tensor, seed: int) -> tuple[Tensor, int]:
    """The faces (M,) of `people` in a random order that keeps each person's together, and how many of them
    are the first half, which ends between two people."""
    names, which = np.unique(people.numpy(), return_inverse=True)
    who = torch.as_tensor(which)
    turn = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).argsort()
    order = turn[who].argsort(stable=True)
    middle = len(order) // 2
    while middle > 0 and who[order[middle]] == who[order[middle - 1]]:
        middle -= 1
    return order, middle


def most_photos(people: Tensor) -> int:
    """How many photos whoever has most has, of `people` (N,), who is who, below 0 where unknown; at least
    1."""
    _, counts = np.unique(people[people >= 0].numpy(), return_counts=True)
    return int(counts.max(initial=1))


class Flagged(Share):
    """The share of images flagged as copies."""

    num_flagged: int
    num_samples: int


class Recognised(Flagged):
    """The same of photos of training people who have others in the training set."""


class CopyDetector:
    """`Metric` that flags images whose nearest training image is nearer than unseen real faces have theirs.

    The threshold is a split-conformal one (Vovk et al. 2005; Angelopoulos & Bates 2023, arXiv:2107.07511)
    on half of the held-out faces, so that an unseen real face is flagged with at most `nominal_rate`
    probability; the other half tells whether that holds.

    Args:
        train: features (N, D) of the training images; `mirrored` (N, D) those of their mirror images.
        held_out: features (M, D) of real faces the generator never saw.
        people: who each of these is (M,), so that nobody is in both halves; None makes each its own person.

    Raises:
        DataError: too few training or held-out images, or people; says how many are needed.
    """

    def __init__(
        self,
        config: Config,
        *,
        features: FeatureFunction,
        train: Tensor,
        mirrored: Tensor,
        held_out: Tensor,
        people: Tensor | None = None,
    ) -> None:
        rate, known = config.nominal_rate, people is not None
        order, middle = halves(torch.arange(len(held_out)) if people is None else people, config.seed)
        # the score of this rank, ascending, is the threshold: a new one is below it with `rate` or less
        rank = math.floor(rate * (middle + 1) + 1e-9)
        num_people = len(held_out if people is None else np.unique(people.numpy()))
        if known and num_people < FEWEST_PEOPLE:
            raise DataError(
                f"The held-out faces are of {num_people} people, too few to say how near strangers are: "
                f"{FEWEST_PEOPLE} are needed, half to set the threshold and half to check it.",
                hint="Prepare the data set with larger validation and test splits: --splits 0.6,0.2,0.2",
            )
        if rank < 1:
            needed = 2 * (math.ceil(1 / rate - 1e-9) - 1)
            raise DataError(
                f"{len(held_out):,} held-out faces are too few for a threshold that "
                f"{rate:.2%} of unseen faces pass: {needed:,} are needed{', or some more' if known else ''}, "
                f"half to set it and half to check it{', nobody in both' if known else ''}.",
                hint="Prepare the data set with larger validation and test splits, or allow a higher "
                "--nominal-rate.",
            )
        if len(train) <= NUM_NEIGHBOURS + config.skipped + 1:
            raise DataError(
                f"{len(train)} training images are too few: each sample is compared with its nearest one "
                f"and {NUM_NEIGHBOURS + config.skipped} more."
            )
        self._features, self._train = features, train
        self._nominal_rate = rate
        self._search = partial(nearest_training, plain=train, mirrored=mirrored, skipped=config.skipped)
        scores = self._search(held_out[order]).score
        calibration, self._checked = scores[:middle], scores[middle:]
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

    def recognised(self, people: Tensor) -> Recognised | None:
        """How many training photos of people who have several are flagged beside the others: what a judge of
        people sees. `people` (N,) is who is who, below 0 where unknown; None where nobody has several. Of
        very many photos `MOST_PHOTOS` are looked at."""
        _, who, counts = np.unique(people.numpy(), return_inverse=True, return_counts=True)
        several = np.flatnonzero((counts[who] > 1) & (people.numpy() >= 0))
        if not len(several):
            return None
        order = torch.randperm(len(several), generator=torch.Generator().manual_seed(0))
        rows = torch.as_tensor(several)[order[:MOST_PHOTOS]]
        return {**self._share(self._search(self._train[rows], excluded=rows).score)}

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
