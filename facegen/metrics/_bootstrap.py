"""Bootstrap intervals for shares."""

from __future__ import annotations

import numpy as np


def ratio_interval(
    hits: np.ndarray, counts: np.ndarray, *, num_resamples: int, seed: int, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of `sum(hits) / sum(counts)` under resampling of images (Efron 1979).

    Args:
        hits, counts: (N,) per image; images, not single labels, are drawn, as one image's labels go together.
    """
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(len(hits), np.full(len(hits), 1 / len(hits)), size=num_resamples)
    totals = weights @ counts
    ratios = (weights @ hits)[totals > 0] / totals[totals > 0]
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
