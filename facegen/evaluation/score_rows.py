"""Results of evaluations as the scores that every report carries (`facegen.formats.reports.ScoreRow`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from facegen.formats.influences import pairing_of
from facegen.formats.reports import ScoreRow
from facegen.metrics import Z95

Better = Literal["lower", "higher", ""]


def score_row(
    kind: str,
    value: float,
    interval: Mapping[str, Any],
    better: Better,
    told: str,
    *,
    floor: float | None = None,
    ceiling: float | None = None,
    settings: Mapping[str, Any] | None = None,
) -> ScoreRow:
    """A score of the metric `kind` with the interval in "low" and "high" (None where unknown), whose half is
    taken for the normal one; `told` says what the interval is of."""
    low, high = interval.get("low"), interval.get("high")
    error = None if low is None or high is None else (high - low) / (2 * Z95)
    return ScoreRow(
        kind, value, better, value, low, high, error, told, None, floor, ceiling, dict(settings or {})
    )


def drawn_pairing(requests: str, seed: int) -> str:
    """What two drawings must share to be compared image by image: their `requests`, in order, and seeds."""
    return pairing_of({"requests": requests, "seed": seed})
