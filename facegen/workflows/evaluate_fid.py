"""`facegen eval fid` alone; see `evaluate_distribution`."""

from __future__ import annotations

from pathlib import Path

from facegen.evaluation.distribution_report import DistributionReport
from facegen.protocols import Progress
from facegen.workflows.evaluate_distribution import DistributionOptions, evaluate_distribution

FidOptions = DistributionOptions


def evaluate_fid(
    subject: Path | str,
    reference: Path | str,
    options: FidOptions | None = None,
    progress: Progress | None = None,
) -> DistributionReport:
    """The Fréchet distance of `subject` from real images; see `evaluate_distribution`."""
    return evaluate_distribution(subject, reference, ("fid",), options, progress)
