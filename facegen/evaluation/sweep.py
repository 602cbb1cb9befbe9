"""`facegen eval ... --sweep`: a run scored at several settings, and a picture of the trade-off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facegen.errors import UsageError
from facegen.evaluation.distribution import DistributionOptions, DistributionReport, evaluate
from facegen.evaluation.judged_images import is_run
from facegen.evaluation.steps import evaluation_path, save_picture, saved
from facegen.formats.reports import Report, ScoreRow
from facegen.options import terms
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.sampling.options import noise_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SETTINGS: dict[str, Callable[[str], Any]] = {
    "guidance": float,
    "steps": int,
    "seed": int,
    "sampler": str,
    "guidance-interval": noise_interval,
}
KINDS = {float: "numbers", int: "whole numbers"}
LOWEST = {"guidance": 0, "steps": 1, "seed": 0}
Value = float | str


@dataclass(frozen=True)
class Sweep:
    """A sampling setting and the values it takes."""

    setting: str
    values: tuple[Value, ...]

    @property
    def option(self) -> str:
        """The name of the option that is swept over."""
        return self.setting.replace("-", "_")


@dataclass(frozen=True, kw_only=True)
class SweepReport(Report):
    """One report a value. `pareto` holds the values that no other beats in both scores of the plot."""

    metric: str = "sweep"
    setting: str
    values: tuple[Value, ...]
    pareto: tuple[Value, ...]
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
    read = SETTINGS[setting]
    try:
        found = [read(part) for part in terms(listed)]
    except ValueError as error:
        raise UsageError(f"--sweep {setting} takes {KINDS[read]}, not '{listed}'.") from error
    values = tuple(found if setting in LOWEST else terms(listed))
    if len(set(found)) < 2 or len(set(found)) != len(found):
        raise UsageError(f"--sweep {setting}={listed}: give at least two different values, each once.")
    lowest = LOWEST.get(setting)
    if lowest is not None and not all(lowest <= value < float("inf") for value in found):
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
        as `evaluate`.
    """
    options, progress, run = options or DistributionOptions(), progress or SilentProgress(), Path(run)
    if not is_run(run):
        raise UsageError(f"A sweep is of a run's sampling settings, and '{run}' is not a run.")
    if sweep.option != "seed" and getattr(options, sweep.option) is not None:
        raise UsageError(f"Give --{sweep.setting} or sweep over it, not both.")
    kinds = None if metrics is None else tuple(dict.fromkeys([*metrics, "precision_recall"]))
    reports = []
    for value in sweep.values:
        progress.say(f"{sweep.setting} {told_value(value)}")
        asked = noise_interval(str(value)) if sweep.option == "guidance_interval" else value
        told = replace(options, **{sweep.option: asked})
        reports.append(evaluate(run, reference, kinds, told, progress))
    first = next(iter(reports[0].scores))
    # recall is what guidance is paid with
    across, down = ("precision", "recall") if first in ("precision", "recall") else ("recall", first)
    points = [
        Point(value, report.scores[across], report.scores[down])
        for value, report in zip(sweep.values, reports, strict=True)
    ]
    plot = trade_off(points, across, down, f"{run.name}: {down} against {across} by {sweep.setting}")
    report = SweepReport(
        setting=sweep.setting,
        values=sweep.values,
        pareto=tuple(point.setting for point in not_beaten(points)),
        axes=(across, down),
        reports=tuple(reports),
        plot=save_picture(evaluation_path(run, "sweep", "png"), plot),
    )
    return saved(report, evaluation_path(run, "sweep", "json"))


@dataclass(frozen=True)
class Point:
    """A value of the setting with the two scores that are traded."""

    setting: Value
    x: ScoreRow
    y: ScoreRow

    @property
    def goods(self) -> tuple[float, float]:
        """Both scores, higher being better."""
        x, y = (row.value if row.better == "higher" else -row.value for row in (self.x, self.y))
        return x, y


def told_value(value: Value) -> str:
    """A value as it was asked for."""
    return value if isinstance(value, str) else f"{value:g}"


def not_beaten(points: Sequence[Point]) -> list[Point]:
    """The Pareto front: points that no other is at least as good as in both scores and better in one."""

    def beaten(mine: tuple[float, float]) -> bool:
        return any(x >= mine[0] and y >= mine[1] and (x, y) != mine for x, y in (p.goods for p in points))

    return [point for point in points if not beaten(point.goods)]


def trade_off(points: Sequence[Point], x_label: str, y_label: str, title: str) -> Figure:
    """The points, labelled by their setting, with intervals and the Pareto front as a line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), dpi=130, layout="constrained")
    axes = figure.subplots()
    front = sorted(not_beaten(points), key=lambda point: point.x.value)
    axes.plot(
        [point.x.value for point in front], [point.y.value for point in front], color="#2a6f97", alpha=0.5
    )
    for point in points:
        x, y, colour = point.x, point.y, "#2a6f97" if point in front else "#8d99ae"
        if x.interval is not None:
            axes.hlines(y.value, *x.interval, color=colour, alpha=0.35)
        if y.interval is not None and y.interval[0] <= y.value <= y.interval[1]:
            axes.vlines(x.value, *y.interval, color=colour, alpha=0.35)
        axes.plot(x.value, y.value, "o", color=colour)
        axes.annotate(
            told_value(point.setting), (x.value, y.value), xytext=(6, 6), textcoords="offset points"
        )
    axes.set_xlabel(f"{x_label.replace('_', ' ')} ({points[0].x.better} is better)")
    axes.set_ylabel(f"{y_label.replace('_', ' ')} ({points[0].y.better} is better)")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.2)
    return figure
