"""Reports: what evaluations found, as frozen dataclasses, and the JSON they are kept as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facegen.formats.plain import plain

REPORT_FORMAT_VERSION = 1
Z95 = 1.959963984540054  # the standard normal's 97.5 % point, of every 95 % interval


@dataclass(frozen=True, kw_only=True)
class Report:
    """What an evaluation found; `metric` is its name, that of the command."""

    metric: str

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON, headed by the format version."""
        return {"format_version": REPORT_FORMAT_VERSION, **plain(self)}


@dataclass(frozen=True)
class ScoreRow:
    """One score: `facegen.metrics.Score`, and what it stands between, None where not measured.

    Of distances `floor` is the same of real images and `ceiling` that of real images after the run's
    autoencoder, which its generator can hardly beat. Of shares and means of what was asked for `floor` is
    what chance gives and `ceiling` what real images reach. `better` is "lower", "higher", or "" where
    unknown.

    `settings` is what the value depends on beside the report's `fingerprint`; scores compare where both
    agree. `published` is what papers call the metric that `value` is; None where it is none of theirs.
    """

    metric: str
    value: float
    better: str
    estimate: float | None
    low: float | None
    high: float | None
    standard_error: float | None
    interval_of: str
    spread: float | None
    floor: float | None
    ceiling: float | None
    settings: dict[str, Any]
    published: str | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """`low` to `high`, None where either is unknown."""
        return None if self.low is None or self.high is None else (self.low, self.high)
