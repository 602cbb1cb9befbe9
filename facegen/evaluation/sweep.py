"""`facegen eval ... --sweep`: a run scored at several settings, and a picture of the trade-off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facegen.errors import UsageError
from facegen.evaluation.distribution import DistributionOptions, DistributionReport, evaluate_distribution
from facegen.evaluation.judged_images import is_run
from facegen.evaluation.steps import evaluation_path, save_picture, saved
from facegen.evaluation.trade_off import Point, not_beaten, trade_off_png
from facegen.formats.reports import Report
from facegen.progress import SilentProgress
from facegen.protocols import Progress

SETTINGS = {"guidance": float, "steps": int}
VARIETY = "recall"  # what guidance is paid with


@dataclass(frozen=True)
class Sweep:
    """A sampling setting and the values it takes."""

    setting: str
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class SweepReport(Report):
    """One report a value. `pareto` holds the values that no other beats in both scores of the plot."""

    metric: str = "sweep"
    setting: str
    values: tuple[float, ...]
    pareto: tuple[float, ...]
    axes: tuple[str, str]
    reports: tuple[DistributionReport, ...]
    plot: Path
    saved_to: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**super().to_json(), "reports": [report.to_json() for report in self.reports]}


def read_sweep(text: str) -> Sweep:
    """ "guidance=1,1.5,2" as a `Sweep`.

    Raises:
        UsageError: another setting, no or repeated values, values out of range.
    """
    setting, separator, listed = text.partition("=")
    setting = setting.strip()
    if not separator or setting not in SETTINGS:
        raise UsageError(
            f"--sweep takes {' or '.join(f'{name}=VALUE,VALUE' for name in SETTINGS)}, not '{text}'.",
            hint="Example: --sweep guidance=1,1.5,2,3",
        )
    try:
        values = tuple(SETTINGS[setting](part) for part in listed.split(","))
    except ValueError as error:
        kind = "whole numbers" if SETTINGS[setting] is int else "numbers"
        raise UsageError(f"--sweep {setting} takes {kind}, not '{listed}'.") from error
    if len(set(values)) < 2 or len(set(values)) != len(values):
        raise UsageError(f"--sweep {setting}={listed}: give at least two different values, each once.")
    if min(values) < (1 if setting == "steps" else 0) or not all(value < float("inf") for value in values):
        raise UsageError(f"--sweep {setting}={listed}: a value is out of range.")
    return Sweep(setting, values)


def sweep_distribution(
    run: Path | str,
    reference: Path | str,
    sweep: Sweep,
    metrics: Sequence[str] | None = None,
    options: DistributionOptions | None = None,
    progress: Progress | None = None,
) -> SweepReport:
    """Score `run` once for each value; precision and recall come along, from the same look at the images.

    Writes `RUN/evaluations/sweep-*.json` and the plot beside it; each value's report is written, too.

    Raises:
        UsageError: not a run, or the setting is also given by itself.
        as `evaluate_distribution`.
    """
    options, progress, run = options or DistributionOptions(), progress or SilentProgress(), Path(run)
    if not is_run(run):
        raise UsageError(f"A sweep is of a run's sampling settings, and '{run}' is not a run.")
    if getattr(options, sweep.setting) is not None:
        raise UsageError(f"Give --{sweep.setting} or sweep over it, not both.")
    kinds = None if metrics is None else tuple(dict.fromkeys([*metrics, "precision_recall"]))
    reports = []
    for value in sweep.values:
        progress.say(f"{sweep.setting} {value:g}")
        told = replace(options, **{sweep.setting: value})
        reports.append(evaluate_distribution(run, reference, kinds, told, progress))
    first = next(iter(reports[0].scores))
    across = VARIETY if first != VARIETY and first != "precision" else "precision"
    down = "recall" if first == "precision" else first
    points = [
        _point(value, report, across, down) for value, report in zip(sweep.values, reports, strict=True)
    ]
    title = f"{run.name}: {down} against {across} by {sweep.setting}"
    best = not_beaten(points)
    report = SweepReport(
        setting=sweep.setting,
        values=sweep.values,
        pareto=tuple(value for value, point in zip(sweep.values, points, strict=True) if point in best),
        axes=(across, down),
        reports=tuple(reports),
        plot=save_picture(run, "sweep", trade_off_png(points, across, down, title)),
    )
    return saved(report, evaluation_path(run, "sweep", "json"))


def _point(value: float, report: DistributionReport, across: str, down: str) -> Point:
    x, y = report.scores[across], report.scores[down]
    return Point(
        label=f"{value:g}",
        x=x.value,
        y=y.value,
        x_interval=x.interval,
        y_interval=y.interval,
        x_better=x.better,
        y_better=y.better,
    )
