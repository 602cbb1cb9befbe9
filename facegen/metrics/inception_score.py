"""How sharp and how varied a classifier finds images (Inception score; Salimans et al. 2016)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.metrics._features import FeatureFunction, FeatureMetric, Score

CUSTOMARY_SAMPLES = 5_000


class Config(KindConfig):
    """Images are shuffled with `seed` and cut into `splits`; the defaults are torch-fidelity's."""

    kind: Literal["inception_score"] = "inception_score"
    splits: int = Field(default=10, ge=1)
    seed: int = Field(default=2020, ge=0, lt=2**32)


def build(config: Config, *, features: FeatureFunction, class_weights: Tensor) -> InceptionScore:
    """The score of the images to come; `class_weights` (K, D) turn a feature into class logits."""
    return InceptionScore(config, features, class_weights)


class InceptionScore(FeatureMetric):
    """`inception_score`: exp of the mean KL divergence of an image's classes from those of all, over splits.

    It knows nothing of real images, and its classes are ImageNet's: of faces it says little.
    """

    why_so_many = "an Inception score, which compares each image with the average of its split"
    min_samples = 20

    def __init__(self, config: Config, features: FeatureFunction, class_weights: Tensor) -> None:
        super().__init__(features)
        self._config, self._class_weights = config, class_weights

    def values(self, features: Tensor) -> dict[str, float]:
        return {"inception_score": float(self._splits(features).mean())}

    def judge(self, features: Tensor) -> dict[str, Score]:
        scores = self._splits(features)
        value, count = float(scores.mean()), len(scores)
        error = float(scores.std(ddof=1) / count**0.5) if count > 1 else None
        reach = None if error is None else student_95(count - 1) * error
        return {
            "inception_score": Score(
                value=value,
                better="higher",
                estimate=value,
                low=None if reach is None else value - reach,
                high=None if reach is None else value + reach,
                standard_error=error,
                interval_of=f"the mean score of splits of {len(features) // count:,} images",
                spread=float(scores.std()),
            )
        }

    def settings(self, num_samples: int) -> dict[str, Any]:
        return {"inception_score_splits": self._config.splits}

    def remarks(self, num_samples: int, num_features: int) -> list[str]:
        if num_samples >= CUSTOMARY_SAMPLES:
            return []
        return [f"Inception score: biased downwards beside one from {CUSTOMARY_SAMPLES:,} images."]

    def _splits(self, features: Tensor) -> np.ndarray:
        """The score of each split (splits,), as torch-fidelity computes it."""
        count, splits = len(features), self._config.splits
        order = np.random.RandomState(self._config.seed).permutation(count)
        logits = (features[torch.from_numpy(order)] @ self._class_weights.T).double()
        logs = logits.log_softmax(1)
        scores = []
        for index in range(splits):
            part = logs[index * count // splits : (index + 1) * count // splits]
            shares = part.exp()
            divergence = (shares * (part - shares.mean(0, keepdim=True).log())).sum(1)
            scores.append(float(divergence.mean().exp()))
        return np.array(scores)


METRIC = InceptionScore


def student_95(degrees: int) -> float:
    """Student's 97.5 % point, by Cornish and Fisher's expansion (to 0.2 % from 4 degrees of freedom on)."""
    z = 1.959963984540054
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / degrees ** (power + 1) for power, term in enumerate(terms))
