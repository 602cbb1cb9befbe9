"""Nearest training images in a feature space, mirrored ones included.

Letters: B queries, N training images, D features, K neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

QUERY_BLOCK, TRAIN_BLOCK = 512, 8192  # 16 MB of distances at a time


@dataclass(frozen=True)
class Neighbours:
    """The nearest training image of each query: its `index` (B,), whether `mirrored` (B,) is nearer than as
    it is, the Euclidean `distance` (B,), and the relative `score` (B,); see `NearestTraining.search`."""

    index: Tensor
    mirrored: Tensor
    distance: Tensor
    score: Tensor

    @staticmethod
    def cat(parts: list[Neighbours]) -> Neighbours:
        names = ("index", "mirrored", "distance", "score")
        return Neighbours(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


class NearestTraining:
    """Searches training features `plain` (N, D) and those of the mirrored images, `mirrored` (N, D).

    Raises:
        ValueError: shapes differ, or there are not more images than `num_neighbours`.
    """

    def __init__(self, plain: Tensor, mirrored: Tensor, num_neighbours: int) -> None:
        if plain.shape != mirrored.shape:
            raise ValueError("plain and mirrored features have different shapes")
        if len(plain) <= num_neighbours:
            raise ValueError(f"{len(plain)} images for {num_neighbours} neighbours and the nearest one")
        self._ways = (plain.float(), mirrored.float())
        self._num_neighbours = num_neighbours

    def __len__(self) -> int:
        return len(self._ways[0])

    def search(self, features: Tensor) -> Neighbours:
        """The nearest image of each query (B, D).

        `score` is the distance to the nearest image over the mean distance to the K next ones, in [0, 1]:
        0 for a copy, near 1 for a face that has no image of its own. What the distance to the nearest image
        alone says depends on how crowded the face's part of the space is. An image and its mirror image
        count once.
        """
        return Neighbours.cat([self._block(part.float()) for part in features.split(QUERY_BLOCK)])

    def _block(self, queries: Tensor) -> Neighbours:
        squared = torch.cat(
            [self._nearer_way(queries, start) for start in range(0, len(self), TRAIN_BLOCK)], dim=1
        )  # (B, N)
        _, order = squared.topk(self._num_neighbours + 1, dim=1, largest=False)  # (B, 1 + K)
        # products lose the digits of small distances, so those of the few found are computed anew
        both = torch.stack([(queries[:, None] - way[order]).norm(dim=2) for way in self._ways])
        distances = both.amin(0)  # (B, 1 + K)
        distances, again = distances.sort(dim=1)
        first = again[:, :1]
        mirrored = (both[1] < both[0]).gather(1, first)[:, 0]
        index = order.gather(1, first)[:, 0]
        others = distances[:, 1:].mean(1).clamp_min(torch.finfo(distances.dtype).tiny)
        return Neighbours(index, mirrored, distances[:, 0], distances[:, 0] / others)

    def _nearer_way(self, queries: Tensor, start: int) -> Tensor:
        """Squared distances (B, block), less the queries' own norms, which do not change the order."""
        plain, mirrored = (way[start : start + TRAIN_BLOCK] for way in self._ways)
        return torch.minimum(_relative(queries, plain), _relative(queries, mirrored))


def _relative(queries: Tensor, references: Tensor) -> Tensor:
    return references.square().sum(1) - 2 * queries @ references.T
