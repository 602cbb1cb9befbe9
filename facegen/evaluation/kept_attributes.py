"""How often a variation of a photo keeps what the photo shows, and how often it would by chance.

Letters: N images, A attributes, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

NUM_RESAMPLES = 1000
TAILS = (0.025, 0.975)


def kept_attributes(
    labels: np.ndarray, seen: np.ndarray, names: Sequence[str], *, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Per attribute with known labels, how often a sample shows what the photo behind it is labelled with.

    `agreement` is that share. `chance` is its exact expectation if the photos were permuted at random:
    p q + (1 - p)(1 - q) for the rates p of the labels and q of what was seen. `margin` is the difference.
    Each has a 95 % interval of the bootstrap over images (Efron 1979); a `margin_low` above 0 is better than
    chance.

    Args:
        labels: (N, A) 1 yes, 0 no, NaN unknown.
        seen: (N, A) bool, the classifier's answers.
    """
    report = {}
    for column, name in enumerate(names):
        known = ~np.isnan(labels[:, column])
        if known.any():
            report[name] = _kept(labels[known, column] == 1, seen[known, column], seed)
    return report


def _kept(label: np.ndarray, seen: np.ndarray, seed: int) -> dict[str, Any]:
    count = len(label)
    resampled = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=NUM_RESAMPLES)
    weights = np.concatenate([np.ones((1, count)), resampled])  # (1 + R, N), the data themselves first
    agreement, p, q = (weights @ values / count for values in (label == seen, label, seen))
    chance = p * q + (1 - p) * (1 - q)
    row: dict[str, Any] = {"num_images": count}
    for key, values in (("agreement", agreement), ("chance", chance), ("margin", agreement - chance)):
        low, high = np.quantile(values[1:], TAILS)
        row |= {key: float(values[0]), f"{key}_low": float(low), f"{key}_high": float(high)}
    return row
