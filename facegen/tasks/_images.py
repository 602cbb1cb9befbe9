"""What a task on images is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from facegen.config.recipe import DataConfig
from facegen.formats.dataset import Dataset, DatasetSplit
from facegen.nn.augmentation import Augmentation
from facegen.nn.perceptual import PerceptualDistance


@dataclass(frozen=True)
class TrainingImages:
    """The images of a prepared data set, and what a recipe says of them.

    `section` gives another section of the recipe, validated; `load_perceptual` the frozen distance that a
    task's own section describes, for images of so many pixels a side.
    """

    dataset: Dataset
    data: DataConfig
    section: Callable[[str], Any]
    load_perceptual: Callable[[Any, int], PerceptualDistance | None]

    @property
    def size(self) -> int:
        """Pixels a side."""
        return self.dataset.manifest.image_size

    @cached_property
    def train(self) -> DatasetSplit:
        """The images to learn from.

        Raises:
            DataError: no such split.
        """
        return self.dataset.split(self.data.train_split)

    @cached_property
    def validation(self) -> DatasetSplit:
        """The images to be judged on; raises as `train`."""
        return self.dataset.split(self.data.validation_split)

    @property
    def augmentation(self) -> Augmentation | None:
        """What is done to training images."""
        wanted = self.data.augmentation
        return None if wanted is None else Augmentation(**wanted.values())
