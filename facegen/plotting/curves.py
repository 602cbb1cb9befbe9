"""`facegen plot curves`: what one or several runs logged while they trained."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from facegen.errors import DataError, UsageError, did_you_mean
from facegen.formats.run import RunDirectory
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.plotting.style import COLOUR_MAP, COLOURS, MUTED, Plot, in_style, new_figure, title_of
from facegen.vocabulary.words import readable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DEFAULT_SMOOTH = 0.01
PER_LEVEL = "loss_per_level"
PREDICTORS_PER_LEVEL = ("zero_predictor_per_level", "mean_predictor_per_level")
FLOOR_OF = {
    "loss": "trivial_loss",
    "psnr": "mean_image_psnr",
    "accuracy": "majority",
    "class_accuracy": "class_majority",
}
NOT_SMOOTHED = ("lr",)
LAST = ("grad_norm", "lr")
ON_REQUEST = ("images_seen", "skipped_steps", "images_per_second", "zero_loss", *FLOOR_OF.values())
TITLES = {"kl": "KL divergence", "psnr": "PSNR", "auc": "AUC", "lr": "Learning rate", "grad_norm": "Gradient"}
Y_LABELS = {
    "psnr": "dB",
    "auc": "area under the ROC curve",
    "lr": "learning rate",
    "grad_norm": "norm",
    "images_per_second": "images a second",
    "images_seen": "images",
    "skipped_steps": "steps",
}
SHARES = ("majority", "class_majority", "sensitivity", "specificity")
LINEAR = ("psnr", "lr", "images_seen", "skipped_steps")
Role = Literal["raw", "smoothed", "training", "held-out", "floor"]
ROLES: dict[Role, str] = {
    "raw": "training, as logged",
    "smoothed": "training, smoothed",
    "training": "training",
    "held-out": "held-out images",
    "floor": "what guessing scores",
}
MAX_RUNS = len(COLOURS)
MAX_COLUMNS = 3
PANEL_INCHES = (3.4, 2.6)
LOG_FROM_RATIO = 8.0  # largest over smallest value, from which an axis is logarithmic
LABEL_SHARE = 0.09  # of the axis, that names of phases have to stand apart


@dataclass(frozen=True)
class LoggedRun:
    """A run's `label` and its numbers: `rows` has `group`, `metric`, `level` (NaN: none), `step`, `value`."""

    label: str
    run: RunDirectory
    rows: pd.DataFrame

    def series(self, group: str, metric: str) -> pd.DataFrame:
        """`step`, `level` and `value` of what was logged as `metric`, in the order of steps."""
        rows: Any = self.rows
        return rows[(rows["group"] == group) & (rows["metric"] == metric)].sort_values("step", kind="stable")


@dataclass(frozen=True)
class Line:
    """One line of run number `run`: `x` and `y` of equal length, NaN where there is a gap.

    `level` is the noise level of a line in a panel of them; it is then coloured by that instead of by run.
    """

    run: int
    role: Role
    x: np.ndarray
    y: np.ndarray
    level: float | None = None


@dataclass(frozen=True)
class Panel:
    """Lines over one axis; `log_y` lets the axis become logarithmic where values differ much."""

    title: str
    y_label: str
    lines: Sequence[Line]
    x_label: str = "training step"
    log_y: bool = True


@dataclass(frozen=True)
class Phase:
    """The phase `name` of run number `run` begins at `step`."""

    run: int
    name: str
    step: int


def plot_curves(
    runs: Sequence[Path],
    out: Path | None = None,
    *,
    metrics: Sequence[str] = (),
    smooth: float = DEFAULT_SMOOTH,
    csv: bool = False,
) -> PlotSummary:
    """Draw what `runs` logged, overlaid; `metrics` names what to draw, else all that tells of learning.

    `smooth` is the time constant of the moving average: steps, or below 1 a share of the run; 0 is none.

    Raises:
        UsageError: not a run, a run named twice, too many of them, or a metric that none of them logged.
        DataError: a run that has logged nothing yet.
        StorageError: a recipe that is unreadable.
    """
    if not math.isfinite(smooth) or smooth < 0:
        raise UsageError(
            f"--smooth must be 0 or more, not {smooth:g}.", hint="0 draws what was logged alone."
        )
    path = figure_path(out, "-vs-".join(Path(run).resolve().name for run in runs), "curves")
    logged = read_runs(runs)
    names = _metrics_to_draw(logged, metrics)
    panels = [panel for name in names for panel in _panels(logged, name, smooth)]
    phases = [phase for index, one in enumerate(logged) for phase in phases_of(one.run, index)]
    labels = [one.label for one in logged]
    figure = _figure(panels, labels, phases)
    plot = Plot(figure, _table(logged, names, smooth))
    return save_plot(plot, path, csv=csv, facts={one.label: _told(one) for one in logged})


def read_runs(runs: Sequence[Path]) -> list[LoggedRun]:
    """What each of `runs` logged, under the shortest names that tell them apart.

    Raises:
        UsageError: not a run, one named twice, or more than can be told apart by colour.
        DataError: a run that has logged nothing yet.
    """
    folders = [Path(run).resolve() for run in runs]
    if len(set(folders)) < len(folders):
        raise UsageError("A run is named twice.", hint="Name each run once.")
    if not 1 <= len(folders) <= MAX_RUNS:
        raise UsageError(f"{len(folders)} runs; 1 to {MAX_RUNS} can be told apart by colour.")
    read = []
    for folder, given, label in zip(folders, runs, _labels(folders), strict=True):
        run = RunDirectory(Path(given))
        run.recipe()  # refuses what is not a run
        rows = pd.DataFrame(_numbers(run.metrics()), columns=["group", "metric", "level", "step", "value"])
        if rows.empty:
            raise DataError(
                f"The run '{given}' has logged nothing yet: there are no numbers in '{run.metrics_file}'.",
                hint=f"Train it on: facegen train --run {folder} --resume",
            )
        read.append(LoggedRun(label, run, rows))
    return read


def smoothed(steps: np.ndarray, values: np.ndarray, time_constant: float) -> np.ndarray:
    """The exponential moving average of `values` (N,) at `steps` (N,), without bias towards the first.

    A value `d` steps back weighs exp(-d / time_constant), so that uneven steps count as they are; NaN and
    infinities weigh nothing.
    """
    times = pd.to_datetime(steps, unit="s")
    halflife = pd.Timedelta(max(1, round(1e9 * math.log(2) * time_constant)), "ns")
    finite = pd.Series(np.where(np.isfinite(values), values, np.nan))
    return finite.ewm(halflife=halflife, times=times).mean().to_numpy()  # pyright: ignore[reportArgumentType]


def phases_of(run: RunDirectory, number: int) -> list[Phase]:
    """The first step of each phase of a phased task; none where the run's length is told in epochs."""
    recipe = run.recipe()
    shares, num_steps = recipe.task.get("phases"), recipe.training.max_steps
    if not isinstance(shares, Mapping) or num_steps is None:
        return []
    # Step s is trained with (s - 1) / num_steps of the run behind it.
    return [
        Phase(number, name, math.ceil(share * num_steps - 1e-9) + 1)
        for name, share in shares.items()
        if 0 < share < 1
    ]


def _labels(folders: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as many as it takes for all to differ."""
    by_length = (["/".join(folder.parts[-parts:]) for folder in folders] for parts in count(1))
    return next(labels for labels in by_length if len(set(labels)) == len(labels))


def _numbers(records: Sequence[Any]) -> Iterator[tuple[str, str, float, int, float]]:
    """(group, metric, noise level, step, value) of every number that was logged; no flags, no words."""
    for record in records:
        levels = record.get("noise_levels") or ()
        for metric, value in _flat(record):
            if metric in ("step", "noise_levels"):
                continue
            if isinstance(value, list):
                for level, one in zip(levels, value, strict=False):
                    yield record["group"], metric, level, record["step"], one
            elif isinstance(value, int | float) and not isinstance(value, bool):
                yield record["group"], metric, math.nan, record["step"], value


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _metrics_to_draw(logged: Sequence[LoggedRun], asked: Sequence[str]) -> list[str]:
    known = list(dict.fromkeys(name for one in logged for name in one.rows["metric"]))
    known = [name for name in known if name not in PREDICTORS_PER_LEVEL]  # drawn with loss_per_level
    for name in asked:
        if name not in known:
            raise UsageError(
                f"No number '{name}' was logged.{did_you_mean(name, known)}",
                hint=f"There are: {', '.join(name for name in known if '.' not in name)}.",
            )
    if asked:
        return list(dict.fromkeys(asked))
    hidden = {*ON_REQUEST, *LAST, "loss", PER_LEVEL}
    middle = [name for name in known if name not in hidden and "." not in name]
    return [name for name in ("loss", PER_LEVEL, *middle, *LAST) if name in known]


def _panels(logged: Sequence[LoggedRun], metric: str, smooth: float) -> list[Panel]:
    if metric == PER_LEVEL:
        return _level_panels(logged)
    lines: list[Line] = []
    for index, one in enumerate(logged):
        training = one.series("train", metric)
        average = _smoothed_series(training, metric, smooth)
        drawn: dict[Role, pd.DataFrame | None] = {
            "training" if average is None else "raw": training,
            "smoothed": average,
            "held-out": one.series("validation", metric),
            "floor": one.series("validation", FLOOR_OF.get(metric, "")),
        }
        lines += [
            _line(index, role, found) for role, found in drawn.items() if found is not None and len(found)
        ]
    return [Panel(_title(metric), _y_label(metric), lines, log_y=metric not in LINEAR)]


def _title(metric: str) -> str:
    *of, name = metric.split(".")
    title = TITLES.get(name) or title_of(name)
    return f"{readable(of[-1])}: {title}" if of else title


def _y_label(metric: str) -> str:
    name = metric.rpartition(".")[2]
    if name in SHARES or name.endswith("accuracy"):
        return "share"
    return Y_LABELS.get(name, readable(name) if "." in metric else "loss")


def _smoothed_series(found: pd.DataFrame, metric: str, smooth: float) -> pd.DataFrame | None:
    """`found` with its values averaged; None where they are drawn as they are."""
    if metric in NOT_SMOOTHED or smooth == 0 or len(found) < 2:
        return None
    steps = found["step"].to_numpy()
    time_constant = smooth * steps[-1] if smooth < 1 else smooth
    return found.assign(value=smoothed(steps, found["value"].to_numpy(), time_constant))


def _line(index: int, role: Role, found: pd.DataFrame, level: float | None = None) -> Line:
    return Line(index, role, found["step"].to_numpy(), found["value"].to_numpy(dtype=float), level)


def _level_panels(logged: Sequence[LoggedRun]) -> list[Panel]:
    """The newest validation by noise level; of a single run also how each level came down."""
    newest: list[Line] = []
    sources: dict[Role, tuple[str, ...]] = {"held-out": (PER_LEVEL,), "floor": PREDICTORS_PER_LEVEL}
    for index, one in enumerate(logged):
        found = one.series("validation", PER_LEVEL)
        if found.empty:
            continue
        step = found["step"].max()
        for role, names in sources.items():
            rows = pd.concat([one.series("validation", name) for name in names])
            best: Any = rows[rows["step"] == step].groupby("level")["value"].min()
            if len(best):
                newest.append(Line(index, role, best.index.to_numpy(), best.to_numpy(dtype=float)))
    panels = []
    if len(logged) == 1:
        found = logged[0].series("validation", PER_LEVEL)
        lines = [_line(0, "held-out", rows, float(level)) for level, rows in found.groupby("level")]  # type: ignore[arg-type]
        panels = [Panel("Held-out loss by noise level", "squared error", lines)]
    title = "Newest, by noise level"
    return [*panels, Panel(title, "squared error", newest, x_label="noise level t/T")]


def _table(logged: Sequence[LoggedRun], names: Sequence[str], smooth: float) -> pd.DataFrame:
    """What is drawn, long-form: `run`, `series`, `step`, `value`."""
    parts = []
    for one in logged:
        for name in names:
            floors = PREDICTORS_PER_LEVEL if name == PER_LEVEL else (FLOOR_OF.get(name, ""),)
            for group, metric in (("train", name), *(("validation", each) for each in (name, *floors))):
                found = one.series(group, metric)
                parts.append(_rows(one.label, f"{group}/{metric}", found))
                average = _smoothed_series(found, metric, smooth) if group == "train" else None
                if average is not None:
                    parts.append(_rows(one.label, f"{group}/{metric} smoothed", average))
    return pd.concat(parts, ignore_index=True)[["run", "series", "step", "value"]]


def _rows(label: str, series: str, found: pd.DataFrame) -> pd.DataFrame:
    levels = ["" if np.isnan(level) else f" at noise level {level:g}" for level in found["level"].tolist()]
    return found[["step", "value"]].assign(run=label, series=[series + level for level in levels])


def _told(one: LoggedRun) -> str:
    told = f"{one.rows['step'].max():,} steps"
    losses = one.series("validation", "loss").dropna(subset="value")
    if losses.empty:
        return told
    steps, values = losses["step"].to_numpy(), losses["value"].to_numpy()
    best = values.argmin()
    return f"{told}; held-out loss {values[-1]:.4g}, at best {values[best]:.4g} at step {steps[best]:,}"


def _figure(panels: Sequence[Panel], runs: Sequence[str], phases: Sequence[Phase]) -> Figure:
    """All panels on one page, the legend below them; `phases` are marked where the axis is steps.

    Lines of one run are coloured by role, those of several runs by run.
    """
    columns = min(MAX_COLUMNS, len(panels), 2 if len(panels) == 4 else MAX_COLUMNS)
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(
        max(4.6, PANEL_INCHES[0] * columns), PANEL_INCHES[1] * rows + 0.7, f"Training: {', '.join(runs)}"
    )
    with in_style():
        grid = figure.subplots(rows, columns, squeeze=False).flatten()
        for axes, panel in zip(grid, panels, strict=False):
            _draw(figure, axes, panel, len(runs))
            if panel.x_label == Panel.x_label:
                _mark_phases(axes, phases, len(runs))
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        handles = _handles(panels, runs)
        longest = max((len(handle.get_label()) for handle in handles), default=0)
        fitting = max(1, int(figure.get_figwidth() / (0.6 + 0.068 * longest)))
        figure.legend(handles=handles, loc="outside lower left", ncols=fitting, fontsize=8)
    return figure


def _draw(figure: Figure, axes: Axes, panel: Panel, num_runs: int) -> None:
    import matplotlib
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for line in panel.lines:
        style = _style(line.role, line.run, num_runs)
        if line.level is not None:
            style = {"color": matplotlib.colormaps[COLOUR_MAP](line.level), "lw": 1.1}
        elif np.isfinite(line.y).sum() == 1 and line.role != "floor":
            style |= {"marker": "o", "ms": 3}
        axes.plot(line.x, line.y, **style)
    if panel.log_y and _suits_log([line.y for line in panel.lines]):
        _log_axis(axes)
    if any(line.level is not None for line in panel.lines):
        bar = figure.colorbar(ScalarMappable(cmap=COLOUR_MAP), ax=axes, pad=0.02, aspect=30)
        bar.set_label("noise level t/T")
    axes.set(title=panel.title, ylabel=panel.y_label, xlabel=panel.x_label)
    if panel.x_label == Panel.x_label:
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    else:
        axes.set_xlim(0, 1)


def _style(role: Role, run: int, num_runs: int) -> dict[str, Any]:
    several = num_runs > 1
    own = COLOURS[run] if several else COLOURS[0]
    return {
        "raw": {"color": own, "lw": 0.7, "alpha": 0.35},
        "smoothed": {"color": own, "lw": 1.6},
        "training": {"color": own, "lw": 1.4},
        "held-out": {
            "color": own if several else COLOURS[1],
            "lw": 1.2,
            "ls": "--" if several else "-",
            "marker": "o",
            "ms": 2.6,
        },
        "floor": {"color": own if several else "black", "lw": 1.2, "ls": ":"},
    }[role]


def _suits_log(values: Sequence[np.ndarray]) -> bool:
    """Whether all are positive and the largest is many times the smallest."""
    joined = np.concatenate(values)
    joined = joined[np.isfinite(joined)]
    return bool(joined.size and joined.min() > 0 and joined.max() >= LOG_FROM_RATIO * joined.min())


def _log_axis(axes: Axes) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5, or at powers of ten where there are many."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    few = math.log10(high / low) < 2.5
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _mark_phases(axes: Axes, phases: Sequence[Phase], num_runs: int) -> None:
    """A line where each phase begins, its name above the axes, so that no curve is covered."""
    left, right = axes.get_xlim()
    shared: dict[tuple[str, int], int] = {}
    for phase in phases:
        shared.setdefault((phase.name, phase.step), phase.run)
    last_label = -math.inf
    for (name, step), run in sorted(shared.items(), key=lambda item: item[0][1]):
        if not left <= step <= right:
            continue
        colour = MUTED if num_runs == 1 else COLOURS[run]
        axes.axvline(step, color=colour, lw=0.9, ls=(0, (4, 2)), zorder=1)
        share = (step - left) / (right - left)
        if share - last_label >= LABEL_SHARE:
            place = {"xytext": (0, 2), "textcoords": "offset points", "ha": "center", "va": "bottom"}
            where = axes.get_xaxis_transform()
            text = axes.annotate(name, (step, 1), xycoords=where, fontsize=6.5, color="#555555", **place)
            text.set_in_layout(True)
            last_label = share
    if last_label >= 0:
        axes.set_title(axes.get_title(loc="left"), pad=14)


def _handles(panels: Sequence[Panel], runs: Sequence[str]) -> list[Any]:
    """Of the legend: the runs where there are several, then the roles that are drawn."""
    from matplotlib.lines import Line2D

    several = len(runs) > 1
    used = {line.role for panel in panels for line in panel.lines if line.level is None}
    used -= {"training"} if "smoothed" in used else set()
    handles = []
    if several:
        handles = [Line2D([], [], color=COLOURS[index], label=name) for index, name in enumerate(runs)]
    for role, label in ROLES.items():
        if role in used:
            style: Any = _style(role, 0, len(runs)) | ({"color": "#333333"} if several else {})
            handles.append(Line2D([], [], **style, label=label))
    return handles
