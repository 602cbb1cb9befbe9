"""What the distribution metrics found, with what it takes to read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegen.formats.reports import report_json


@dataclass(frozen=True)
class ScoreRow:
    """One score: `facegen.metrics._features.Score`, and the same of real images (`floor`) and of real images
    after the run's autoencoder (`ceiling`, which its generator can hardly beat); None where not measured.

    `settings` is what the value depends on beside the report's `fingerprint`; scores compare where both
    agree.
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


@dataclass(frozen=True)
class DistributionReport:
    """Scores by name, the main one first, of `subject` against the real images of `reference`.

    `floor` says how the real images were chosen that stand beside (`num_samples`, `num_reference`, `method`),
    `ceiling` how many were reconstructed (`num_samples`). `fingerprint` is what two reports must share before
    their scores can be compared.
    """

    metric: str  # the command's name: "fid", "all", ...
    scores: dict[str, ScoreRow]
    num_samples: int
    num_reference: int
    num_features: int
    features: str
    subject: str
    subject_kind: str
    reference: str
    split: str
    floor: dict[str, Any] | None
    ceiling: dict[str, Any] | None
    fingerprint: dict[str, Any]
    remarks: tuple[str, ...]
    settings: dict[str, Any]
    seconds: float
    saved_to: Path | None = None

    @property
    def main(self) -> ScoreRow:
        """The first score."""
        return next(iter(self.scores.values()))

    @property
    def score(self) -> float:
        """The first score's published value."""
        return self.main.value

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return report_json(self.metric, self)
