"""Intervals for shares of counts."""

from __future__ import annotations

NORMAL_QUANTILE_95 = 1.959963984540054


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """95 % score interval of the share `hits / count` (Wilson 1927), which holds at shares near 0 too.

    Raises:
        ValueError: `count` is 0.
    """
    if count < 1:
        raise ValueError("a share needs at least one trial")
    z2 = NORMAL_QUANTILE_95**2
    share = hits / count
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    spread = (share * (1 - share) / count + z2 / (4 * count**2)) ** 0.5 * z2**0.5 / (1 + z2 / count)
    low = 0.0 if hits == 0 else centre - spread
    high = 1.0 if hits == count else centre + spread
    return max(0.0, low), min(1.0, high)
