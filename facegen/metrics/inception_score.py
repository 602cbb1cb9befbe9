"""How sharp and how varied a classifier finds images (Inception score; Salimans et al. 2016)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.metrics._features import FeatureMetric, Score

CUSTOMARY_SAMPLES = 5_000
SEED = 2020  # torch-fidelity's


class Config(KindConfig, frozen=True):
    """Images are shuffled and cut into `splits`; the default is torch-fidelity's."""

    kind: Literal["inception_score"] = "inception_score"
    splits: int = Field(default=10, ge=1)


class InceptionScore(FeatureMetric):
    """`inception_score`: exp of the mean KL divergence of an image's classes from those of all, over splits.

    It knows nothing of real images, and its classes are ImageNet's: of faces it says little. `class_weights`
    (K, D) turn a feature into class logits.
    """

    why_so_many = "an Inception score, which compares each image with the average of its split"
    min_samples = 20
    needs_classes = True
    needs_features = "inception"

    def __init__(self, config: Config, *, class_weights: Tensor) -> None:
        self._config, self._class_weights = config, class_weights

    def values(self, features: Tensor) -> dict[str, float]:
        return {"inception_score": float(self._splits(features).mean())}

    def judge(self, features: Tensor) -> dict[str, Score]:
        from scipy.stats import t as student

        scores = self._splits(features)
        value, count = float(scores.mean()), len(scores)
        error = float(scores.std(ddof=1) / count**0.5) if count > 1 else None
        reach = None if error is None else float(student.ppf(0.975, count - 1)) * error
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
        order = np.random.RandomState(SEED).permutation(count)
        logits = (features[torch.as_tensor(order)] @ self._class_weights.T).double()
        logs = logits.log_softmax(1)
        scores: list[float] = []
        for index in range(splits):
            part = logs[index * count // splits : (index + 1) * count // splits]
            shares = part.exp()
            divergence = (shares * (part - shares.mean(0, keepdim=True).log())).sum(1)
            scores.append(float(divergence.mean().exp()))
        return np.array(scores)


build = InceptionScore
