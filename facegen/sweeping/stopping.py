"""When a run is not worth its remaining time: the median rule (Golovin et al. 2017, "Google Vizier", 3.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from facegen.wording import number_text

FEWEST_FINISHED = 2  # runs that a median is of
FIRST_CHECK = 2  # before which a run has hardly begun


def curve(metrics: Sequence[Mapping[str, Any]], every_steps: int) -> dict[int, float]:
    """Held-out losses by the number of the check, of a run that is checked every so many steps."""
    rows = [row for row in metrics if row.get("group") == "validation"]
    return {-(-int(row["step"]) // every_steps): float(row.get("loss") or math.nan) for row in rows}


def not_worth_it(
    own: Mapping[int, float], finished: Sequence[Mapping[int, float]], checks: int
) -> str | None:
    """Why a run whose losses are `own` is to stop after its newest check; None to go on.

    Its loss is compared with those of the `finished` runs after the same share of their steps, which is the
    same step where runs have as many.
    """
    newest = max(own, default=0)
    before = [theirs[newest] for theirs in finished if newest in theirs]
    if not FIRST_CHECK <= newest < checks or len(before) < FEWEST_FINISHED:
        return None
    middle = median(before)
    if own[newest] <= middle:
        return None
    return (
        f"its held-out loss, {number_text(own[newest])} at check {newest} of {checks}, is worse than "
        f"{number_text(middle)}, the median of the {len(before)} finished runs there"
    )
