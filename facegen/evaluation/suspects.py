"""The images that a detector flags first, beside the training images nearest to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import torch
from PIL import Image
from torch import Tensor

from facegen.evaluation.held_out import TRAIN
from facegen.evaluation.judged_images import JudgedImages
from facegen.evaluation.steps import captioned
from facegen.formats.dataset import Dataset
from facegen.metrics.memorization import CopyDetector, Neighbours

PAIRS_A_ROW = 2


class Pair(TypedDict):
    """A sample and the training record nearest to it."""

    sample: str
    train_id: str
    mirrored: bool
    distance: float
    score: float
    flagged: bool


@dataclass(frozen=True)
class Nearest(Neighbours):
    """The nearest training images of samples, their numbers (K,) and pictures."""

    rows: Tensor
    images: Tensor


class Suspects:
    """The `most` images that `detector` finds most suspicious among all that it is shown."""

    def __init__(self, detector: CopyDetector, most: int) -> None:
        self.detector, self._most = detector, most
        self._kept: Nearest | None = None

    def look(self, images: Tensor, rows: Tensor, aside: Tensor | None = None) -> Tensor:
        """Take in images (B, 3, H, W) of these numbers (B,); which are flagged, bool (B,).

        Those `aside` (B,) are counted and not kept.
        """
        found = self.detector.update(images)
        here = Nearest(**vars(found), rows=rows, images=images)
        kept = here if aside is None else here[~aside]
        both = kept if self._kept is None else Nearest.cat([self._kept, kept])
        self._kept = both[both.score.argsort()[: self._most]]
        return self.detector.flagged(found.score)

    @property
    def nearest(self) -> Nearest:
        """What was kept, the most suspicious first."""
        assert self._kept is not None
        return self._kept

    def pairs(self, judged: JudgedImages, dataset: Dataset) -> tuple[Pair, ...]:
        """What was kept, in words and numbers."""
        nearest, ids = self.nearest, dataset.split(TRAIN).frame["id"]
        flagged = self.detector.flagged(nearest.score)
        return tuple(
            {
                "sample": judged.names[int(row)],
                "train_id": str(ids.iloc[int(nearest.index[i])]),
                "mirrored": bool(nearest.mirrored[i]),
                "distance": float(nearest.distance[i]),
                "score": float(nearest.score[i]),
                "flagged": bool(flagged[i]),
            }
            for i, row in enumerate(nearest.rows)
        )

    def picture(self, pairs: tuple[Pair, ...], dataset: Dataset, mark: str) -> Image.Image:
        """Rows of sample, nearest training image, its mirror image; the nearer of the two is named, and what
        is flagged is called `mark`."""
        train = dataset.split(TRAIN).images(self.nearest.index)
        tiles = torch.stack([self.nearest.images, train, train.flip(3)], dim=1).flatten(0, 1)
        captions: list[str] = []
        for pair in pairs:
            told = f"distance {pair['distance']:.3f}\nscore {pair['score']:.2f}"
            captions += [
                f"{pair['sample']}\n{mark if pair['flagged'] else 'not flagged'}",
                f"train {pair['train_id']}" + ("" if pair["mirrored"] else f"\n{told}"),
                f"mirrored\n{told}" if pair["mirrored"] else "mirrored",
            ]
        return captioned(tiles, 3 * PAIRS_A_ROW, captions)
