"""What the metrics over features share: a score with its interval, the reference, collecting features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from facegen.errors import DataError
from facegen.formats.influences import Influence
from facegen.metrics._frechet import FeatureStatistics

FeatureFunction = Callable[[Tensor], Tensor]
"""uint8 (B, 3, H, W) -> features (B, D) float32 on the CPU."""


def joined(parts: Sequence[Tensor]) -> Tensor:
    """What was collected of all batches.

    Raises:
        DataError: there were none.
    """
    if not parts:
        raise DataError("There are no images to judge.")
    return torch.cat(list(parts))


@dataclass(frozen=True)
class Score:
    """A published score, and what is known about what it estimates.

    `value` is what the metric's authors print. `estimate` is the best guess of the quantity behind it, and
    `low` to `high` its 95 % interval; `interval_of` says in words what that quantity is. `spread` is the
    standard deviation over subsets or splits that is customarily printed. None is "not known". `influence` is
    what each image does to the estimate.
    """

    value: float
    better: Literal["lower", "higher"]
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    interval_of: str = ""
    spread: float | None = None
    influence: Influence | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class ReferenceFeatures:
    """Real images: the Gaussian of all of them, and features (M, D) of all or of a drawn part."""

    statistics: FeatureStatistics
    features: Tensor

    @staticmethod
    def of(features: Tensor) -> ReferenceFeatures:
        """All of `features` (M, D), M at least 2."""
        return ReferenceFeatures(FeatureStatistics.of(features), features)


class FeatureMetric(ABC):
    """Judges the features of all images of a set together.

    `min_samples` images are needed at least, because of `why_so_many`; `depends_on_count` says that scores of
    different numbers of images cannot be compared, `needs_classes` that it is built with Inception's
    `class_weights` instead of the `reference`. `needs_features` names the only network whose features it has
    a meaning for; None takes any.
    """

    min_samples: ClassVar[int] = 16
    why_so_many: ClassVar[str]
    depends_on_count: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = False
    needs_features: ClassVar[str | None] = None

    @classmethod
    def check_count(cls, count: int, what: str) -> None:
        """Refuse too few images.

        Raises:
            DataError: fewer than `min_samples`; says why they are needed.
        """
        if count < cls.min_samples:
            raise DataError(
                f"{what}: {count} images are too few for {cls.why_so_many}; at least {cls.min_samples} are "
                "needed.",
                hint="Give more images, or ask for more with --num-samples.",
            )

    @classmethod
    def takes(cls, features: str) -> bool:
        """Whether a score in the features of this name has a meaning."""
        return cls.needs_features in (None, features)

    @abstractmethod
    def values(self, features: Tensor) -> dict[str, float]:
        """The published values of features (N, D) alone, by name, without their intervals."""

    @abstractmethod
    def judge(self, features: Tensor) -> dict[str, Score]:
        """Scores of features (N, D) of all images, by name, the main one first."""

    def settings(self, num_samples: int) -> dict[str, Any]:
        """What else the value depends on; part of the report's fingerprint."""
        return {}

    def remarks(self, num_samples: int, num_features: int) -> list[str]:
        """Sentences on what the counts do to the scores; empty where they are ample."""
        return []
