"""A metric of one's own, for `facegen eval metric RUN --metric sixth_system.metrics:ColourDistance`."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.errors import UsageError
from facegen.formats.dataset import DatasetSplit
from facegen.types import LabelSchema


class ColourDistance:
    """How far the mean colour of images is from that of all real ones, in grey levels; 0 is best.

    The same for every attribute, over the images asked to have it, shows a colour cast that comes with one.
    """

    class Config(KindConfig):
        pass

    @staticmethod
    def build(config: Config, *, labels: LabelSchema, reference: DatasetSplit | None) -> ColourDistance:
        """Raises UsageError where there are no real images to compare with."""
        if reference is None:
            raise UsageError("ColourDistance compares with real images.", hint="Give --reference DATASET.")
        return ColourDistance(labels.attributes, reference)

    def __init__(self, attributes: tuple[str, ...], reference: DatasetSplit) -> None:
        self._attributes, self._reference = attributes, reference
        self._colours, self._frames = [], []

    def update(self, images: Tensor, records: pd.DataFrame) -> None:
        self._colours.append(images.float().mean(dim=(2, 3)))  # (B, 3)
        self._frames.append(records)

    def compute(self) -> dict[str, Any]:
        colours, frame = torch.cat(self._colours), pd.concat(self._frames, ignore_index=True)
        real = self._reference.images(range(len(self._reference))).float().mean(dim=(2, 3))
        result: dict[str, Any] = {"colour_distance": float((colours.mean(0) - real.mean(0)).norm())}
        for name in self._attributes:
            drawn = torch.tensor(frame[name].eq(1).fillna(False).tolist())
            photos = torch.tensor(self._reference.frame[name].eq(1).fillna(False).tolist())
            if drawn.any() and photos.any():
                result[name] = float((colours[drawn].mean(0) - real[photos].mean(0)).norm())
        return result
