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
from facegen.wording import number_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DEFAULT_SMOOTH = 0.01
PER_LEVEL = "loss_per_level"
FLOORS_OF = {
    "loss": ("trivial_loss",),
    "psnr": ("mean_image_psnr",),
    "accuracy": ("majority",),
    "class_accuracy": ("class_majority",),
    PER_LEVEL: ("zero_predictor_per_level", "mean_predictor_per_level"),  # of which the better one is drawn
}
FLOORS = tuple(floor for floors in FLOORS_OF.values() for floor in floors)
NOT_SMOOTHED = ("lr",)
LAST = ("grad_norm", "lr")
ON_REQUEST = ("images_seen", "skipped_steps", "images_per_second", "zero_loss", *FLOORS)
TITLES = {
    "kl": "KL divergence",
    "psnr": "PSNR",
    "auc": "AUC",
    "lr": "Learning rate",
    "grad_norm": "Gradient",
    "kid": "Kernel distance",
    "fid": "Fréchet distance",
    "attributes": "Attributes that came true",
    "attributes_present": "Of those asked to be there",
}
Y_LABELS = {
    "kid": "kernel distance",
    "fid": "Fréchet distance",
    "density": "density",
    "psnr": "dB",
    "auc": "area under the ROC curve",
    "lr": "learning rate",
    "grad_norm": "norm",
    "images_per_second": "images a second",
    "images_seen": "images",
    "skipped_steps": "steps",
}
SHARES_OF_FACES = ("attributes", "attributes_present", "precision", "recall", "coverage")
SHARES = ("majority", "class_majority", "sensitivity", "specificity", *SHARES_OF_FACES)
LINEAR = ("psnr", "lr", "images_seen", "skipped_steps", *SHARES_OF_FACES)
Role = Literal["raw", "smoothed", "training", "held-out", "floor", "score"]
ROLES: dict[Role, str] = {
    "raw": "training, as logged",
    "smoothed": "training, smoothed",
    "training": "training",
    "held-out": "held-out images",
    "floor": "what guessing scores",
    "score": "few drawn faces; compare within a run",
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
class Panel:
    """Lines over one axis, one for each `run` and `role` of `rows`, from the columns `x` and `value`.

    With `by_level` there is one for each `level`, coloured by that instead. `log_y` lets the axis become
    logarithmic where values differ much.
    """

    title: str
    y_label: str
    rows: pd.DataFrame
    x: Literal["step", "level"] = "step"
    by_level: bool = False
    log_y: bool = True


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
    drawn = _drawn(logged, names, smooth)
    labels = [one.label for one in logged]
    panels = [panel for name in names for panel in _panels(drawn, name, len(logged))]
    figure = _figure(panels, labels, [phases_of(one.run) for one in logged])
    plot = Plot(figure, _table(drawn, labels))
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


def phases_of(run: RunDirectory) -> dict[str, int]:
    """The first step of each phase of a phased task; none where the run's length is told in epochs."""
    recipe = run.recipe()
    shares, num_steps = recipe.task.get("phases"), recipe.training.max_steps
    if not isinstance(shares, Mapping) or num_steps is None:
        return {}
    # Step s is trained with (s - 1) / num_steps of the run behind it.
    return {name: math.ceil(share * num_steps - 1e-9) + 1 for name, share in shares.items() if 0 < share < 1}


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
    known = [name for name in known if name not in FLOORS_OF[PER_LEVEL]]
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


def _drawn(logged: Sequence[LoggedRun], names: Sequence[str], smooth: float) -> pd.DataFrame:
    """All rows that are drawn, each with its number of a `run`, `role`, `panel` (a name) and `series`."""
    parts = []
    for index, one in enumerate(logged):
        for name in names:
            training = one.series("train", name)
            average = _smoothed_series(training, name, smooth)
            validation = [("held-out", name), *(("floor", floor) for floor in FLOORS_OF.get(name, ()))]
            found = [
                ("training" if average is None else "raw", f"train/{name}", training),
                ("smoothed", f"train/{name} smoothed", average),
                *((role, f"validation/{each}", one.series("validation", each)) for role, each in validation),
                ("score", f"scores/{name}", one.series("scores", name)),
            ]
            parts += [
                rows.assign(run=index, role=role, panel=name, series=series)
                for role, series, rows in found
                if rows is not None
            ]
    return pd.concat(parts, ignore_index=True)


def _table(drawn: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """What is drawn, long-form: `run`, `series`, `step`, `value`."""
    levels = ["" if np.isnan(level) else f" at noise level {level:g}" for level in drawn["level"]]
    table = drawn.assign(run=drawn["run"].map(dict(enumerate(labels))), series=drawn["series"] + levels)
    return table[["run", "series", "step", "value"]]


def _panels(drawn: pd.DataFrame, metric: str, num_runs: int) -> list[Panel]:
    """The panel of a number; of losses by noise level the newest, and of a single run how each came down."""
    found: Any = drawn[drawn["panel"] == metric]
    if metric != PER_LEVEL:
        return [Panel(_title(metric), _y_label(metric), found, log_y=metric not in LINEAR)]
    held_out = found[found["role"] == "held-out"]
    last = found["run"].map(held_out.groupby("run")["step"].max())
    newest = found[(found["step"] == last) & found["role"].isin(("held-out", "floor"))]
    lowest = newest.groupby(["run", "role", "level"], sort=False, as_index=False)["value"].min()
    best = lowest.sort_values("level", kind="stable")
    panels = [Panel("Newest, by noise level", "squared error", best, x="level")]
    if num_runs == 1:
        panels.insert(0, Panel("Held-out loss by noise level", "squared error", held_out, by_level=True))
    return panels


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


def _told(one: LoggedRun) -> str:
    told = f"{one.rows['step'].max():,} steps"
    losses = one.series("validation", "loss").dropna(subset="value")
    if losses.empty:
        return told
    steps, values = losses["step"].to_numpy(), losses["value"].to_numpy()
    best = values.argmin()
    last, lowest = number_text(values[-1]), number_text(values[best])
    return f"{told}; held-out loss {last}, at best {lowest} at step {steps[best]:,}"


def _figure(panels: Sequence[Panel], runs: Sequence[str], phases: Sequence[Mapping[str, int]]) -> Figure:
    """All panels on one page, the legend below them; `phases` of each run are marked where the axis is steps.

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
            if panel.x == "step":
                _mark_phases(axes, phases)
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

    lines: Any = panel.rows.groupby(["run", "role"], sort=False)
    for (run, role), rows in lines:
        parts: Any = rows.groupby("level") if panel.by_level else [(None, rows)]
        for level, line in parts:
            style = _style(role, run, num_runs)
            if panel.by_level:
                style = {"color": matplotlib.colormaps[COLOUR_MAP](level), "lw": 1.1}
            elif np.isfinite(line["value"]).sum() == 1 and role != "floor":
                style |= {"marker": "o", "ms": 3}
            axes.plot(line[panel.x], line["value"], **style)
    if panel.log_y and _suits_log(panel.rows["value"]):
        _log_axis(axes)
    if panel.by_level:
        bar = figure.colorbar(ScalarMappable(cmap=COLOUR_MAP), ax=axes, pad=0.02, aspect=30)
        bar.set_label("noise level t/T")
    axes.set(title=panel.title, ylabel=panel.y_label)
    if panel.x == "step":
        axes.set_xlabel("training step")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    else:
        axes.set_xlabel("noise level t/T")
        axes.set_xlim(0, 1)


def _style(role: Role, run: int, num_runs: int) -> dict[str, Any]:
    own, several = COLOURS[run], num_runs > 1
    held_out = {"color": own, "ls": "--"} if several else {"color": COLOURS[1]}
    return {
        "raw": {"color": own, "lw": 0.7, "alpha": 0.35},
        "smoothed": {"color": own, "lw": 1.6},
        "training": {"color": own, "lw": 1.4},
        "held-out": {**held_out, "lw": 1.2, "marker": "o", "ms": 2.6},
        "floor": {"color": own if several else "black", "lw": 1.2, "ls": ":"},
        "score": {"color": own if several else COLOURS[2], "lw": 1.2, "marker": "o", "ms": 2.6},
    }[role]


def _suits_log(values: pd.Series) -> bool:
    """Whether all are positive and the largest is many times the smallest."""
    finite = values[np.isfinite(values)]
    return bool(len(finite) and finite.min() > 0 and finite.max() >= LOG_FROM_RATIO * finite.min())


def _log_axis(axes: Axes) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5, or at powers of ten where there are many."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    few = math.log10(high / low) < 2.5
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _mark_phases(axes: Axes, phases: Sequence[Mapping[str, int]]) -> None:
    """A line where each phase begins, its name above the axes, so that no curve is covered."""
    left, right = axes.get_xlim()
    shared: dict[tuple[str, int], int] = {}
    for run, begins in enumerate(phases):
        for begin in begins.items():
            shared.setdefault(begin, run)
    last_label = -math.inf
    for (name, step), run in sorted(shared.items(), key=lambda item: item[0][1]):
        if not left <= step <= right:
            continue
        colour = MUTED if len(phases) == 1 else COLOURS[run]
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
    used = {role for panel in panels if not panel.by_level for role in panel.rows["role"]}
    used -= {"training"} if "smoothed" in used else set()
    handles = []
    if several:
        handles = [Line2D([], [], color=COLOURS[index], label=name) for index, name in enumerate(runs)]
    for role, label in ROLES.items():
        if role in used:
            style: Any = _style(role, 0, len(runs)) | ({"color": "#333333"} if several else {})
            handles.append(Line2D([], [], **style, label=label))
    return handles
