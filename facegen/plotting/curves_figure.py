"""What runs logged while they trained, a panel a number: losses, scores, learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from facegen.plotting.style import COLOUR_MAP, COLOURS, MUTED, Plot, in_style, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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


def training_curves_plot(
    panels: Sequence[Panel],
    runs: Sequence[str],
    table: pd.DataFrame,
    title: str,
    phases: Sequence[Phase] = (),
) -> Plot:
    """All panels on one page, the legend below them; `phases` are marked where the axis is steps.

    Lines of one run are coloured by role, those of several runs by run.

    Raises:
        ValueError: no panels, or more runs than there are colours.
    """
    if not panels or len(runs) > MAX_RUNS:
        raise ValueError(f"{len(panels)} panels of {len(runs)} runs cannot be drawn")
    columns = min(MAX_COLUMNS, len(panels), 2 if len(panels) == 4 else MAX_COLUMNS)
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(max(4.6, PANEL_INCHES[0] * columns), PANEL_INCHES[1] * rows + 0.7)
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
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return Plot(figure, table)


def _draw(figure: Figure, axes: Axes, panel: Panel, num_runs: int) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for line in panel.lines:
        style = _style(line.role, line.run, num_runs)
        if line.level is not None:
            style = {"color": _level_colour(line.level), "lw": 1.1}
        elif np.isfinite(line.y).sum() == 1 and line.role != "floor":
            style |= {"marker": "o", "ms": 3}
        axes.plot(line.x, line.y, **style)
    if panel.log_y and _suits_log([line.y for line in panel.lines]):
        _log_axis(axes)
    if any(line.level is not None for line in panel.lines):
        bar = figure.colorbar(ScalarMappable(cmap=COLOUR_MAP), ax=axes, pad=0.02, aspect=30)
        bar.set_label("noise level t/T")
    axes.set_title(panel.title)
    axes.set_ylabel(panel.y_label)
    axes.set_xlabel(panel.x_label)
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


def _level_colour(level: float) -> Any:
    import matplotlib

    return matplotlib.colormaps[COLOUR_MAP](level)


def _suits_log(values: Iterable[np.ndarray]) -> bool:
    """Whether all are positive and the largest is many times the smallest."""
    joined = np.concatenate(list(values))
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
    handles = [Line2D([], [], color=COLOURS[index], label=name) for index, name in enumerate(runs)]
    handles = handles if several else []
    for role, label in ROLES.items():
        if role in used:
            style: Mapping[str, Any] = _style(role, 0, len(runs))
            handles.append(
                Line2D([], [], **{**style, **({"color": "#333333"} if several else {})}, label=label)
            )
    return handles
