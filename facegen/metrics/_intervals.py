"""95 % intervals of shares, and bootstrap over images."""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np

from facegen.formats.reports import Z95 as Z95

TAILS = (0.025, 0.975)
NUM_RESAMPLES = 1000


class Share(TypedDict):
    """A share of counts with its 95 % interval."""

    share: float
    low: float
    high: float


def share_of(hits: int, count: int) -> Share:
    """The share `hits / count` with Wilson's interval; `count` is at least 1."""
    low, high = wilson_interval(hits, count)
    return {"share": hits / count, "low": low, "high": high}


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """95 % score interval of the share `hits / count` (Wilson 1927), which holds at shares near 0 too.

    Raises:
        ValueError: `count` is 0.
    """
    from scipy.stats import binomtest

    found = binomtest(hits, count).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def resamples(count: int, *, seed: int = 0) -> np.ndarray:
    """How often each of `count` images is in each resample (Efron 1979), (NUM_RESAMPLES, count).

    By hand: `scipy.stats.bootstrap` draws others, and would move every interval reported so far.
    """
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=NUM_RESAMPLES)


def ratio_interval(hits: np.ndarray, counts: np.ndarray, *, seed: int = 0) -> tuple[float, float]:
    """Percentile interval of `sum(hits) / sum(counts)` under resampling of images.

    Args:
        hits, counts: (N,) per image; images, not single labels, are drawn, as one image's labels go together.
    """
    weights = resamples(len(hits), seed=seed)
    totals = weights @ counts
    ratios = (weights @ hits)[totals > 0] / totals[totals > 0]
    low, high = np.quantile(ratios, tails(len(hits)))
    return float(low), float(high)


def tails(count: int) -> tuple[float, float]:
    """The quantiles of resamples of `count` images that a 95 % interval ends at.

    Resamples scatter by (count - 1) / count too little, and know nothing of Student's wider tails: the
    expanded percentiles of Hesterberg 2015 (doi:10.1080/00031305.2015.1089789, section 5.3).
    """
    import scipy.special

    special: Any = scipy.special
    if count < 2:
        return TAILS
    low = float(special.ndtr(-((count / (count - 1)) ** 0.5) * special.stdtrit(count - 1, TAILS[1])))
    return low, 1 - low


def pooled_share(hits: np.ndarray, counts: np.ndarray) -> Share:
    """`sum(hits) / sum(counts)` (N,) with its bootstrap interval over images; some count is above 0."""
    low, high = ratio_interval(hits, counts)
    return {"share": float(hits.sum() / counts.sum()), "low": low, "high": high}
