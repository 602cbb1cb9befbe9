"""`facegen plot ema`: held-out loss of a run's averaged weights by the width of the average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.plotting.style import COLOURS, MUTED, Plot, in_style, new_figure
from facegen.protocols import Progress
from facegen.training.ema_afterwards import WidthCurve, width_curve
from facegen.wording import number_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROOM = 0.12  # above and below what is drawn, as a share of its height
FAR = 2.0  # times the curve's own height, from which a loss beside it is told and not drawn


def plot_ema(
    run: Path,
    out: Path | None = None,
    *,
    widths: Sequence[float] = (),
    step: int | None = None,
    data: Path | None = None,
    device: str = "auto",
    csv: bool = False,
    progress: Progress | None = None,
) -> PlotSummary:
    """Draw the held-out loss over the width of the average; the best width is marked and told.

    Raises:
        UsageError, MissingModelError, DataError, StorageError: as `width_curve`, or a wrong `out`.
    """
    path = figure_path(out, run, "ema")
    curve = width_curve(run, widths, step=step, data=data, device=device, progress=progress)
    table = pd.DataFrame([asdict(score) for score in curve.scores])
    figure = _figure(curve, table, Path(run).resolve().name)
    return save_plot(Plot(figure, table), path, csv=csv, facts=_facts(curve, run))


def _facts(curve: WidthCurve, run: Path) -> dict[str, object]:
    beside = {"as trained": curve.as_trained, "running average": curve.running_average}
    return {
        "step": curve.step,
        **{f"width {score.width:g}": score.loss for score in curve.scores},
        **{name: loss for name, loss in beside.items() if loss is not None},
        "best width": curve.best.width,
        "make it": f"facegen ema {run} --width {curve.best.width:g} --step {curve.step}",
    }


def _figure(curve: WidthCurve, table: pd.DataFrame, run: str) -> Figure:
    figure = new_figure(6.4, 4.0, f"{run}: averaged weights after step {curve.step:,}")
    with in_style():
        axes = figure.subplots()
        axes.plot(table["width"], table["loss"], color=COLOURS[0], zorder=2)
        for kept, face, label in (
            (True, COLOURS[0], "width kept in training"),
            (False, "white", "width made afterwards"),
        ):
            rows = table[table["kept"] == kept]
            if len(rows):
                style = {"color": COLOURS[0], "markerfacecolor": face, "marker": "o", "ms": 5, "ls": "none"}
                axes.plot(rows["width"], rows["loss"], **style, label=label, zorder=3)
        lowest, highest = _bounds(axes, curve)
        _mark_best(axes, curve)
        room = ROOM * (highest - lowest or abs(highest) or 1.0)
        axes.set_ylim(lowest - 2 * room, highest + room)
        _width_axis(axes, [score.width for score in curve.scores])
        axes.set_ylabel("held-out loss")
        figure.legend(loc="outside lower left", ncols=2, fontsize=8)
    return figure


def _bounds(axes: Axes, curve: WidthCurve) -> tuple[float, float]:
    """Lowest and highest loss drawn; losses beside the curve are lines where they are near enough to it."""
    losses = [score.loss for score in curve.scores]
    lowest, highest = min(losses), max(losses)
    reach = FAR * (highest - lowest)
    for loss, name, colour, dashes in (
        (curve.running_average, "running average (ema.decay)", COLOURS[2], "--"),
        (curve.as_trained, "weights as trained", MUTED, ":"),
    ):
        if loss is None:
            continue
        label = f"{name}: {number_text(loss)}"
        if lowest - reach <= loss <= highest + reach:
            axes.axhline(loss, color=colour, ls=dashes, lw=1.2, label=label, zorder=1)
            losses.append(loss)
        else:
            axes.plot([], [], color=colour, ls=dashes, lw=1.2, label=f"{label}, out of the picture")
    return min(losses), max(losses)


def _mark_best(axes: Axes, curve: WidthCurve) -> None:
    best = curve.best
    axes.plot([best.width], [best.loss], marker="o", ms=10, mfc="none", mec=COLOURS[1], mew=1.6, zorder=4)
    axes.annotate(
        f"best: width {best.width:g}, {number_text(best.loss)}",
        (best.width, best.loss),
        xytext=(0, -12),
        textcoords="offset points",
        ha="center",
        va="top",
        color=COLOURS[1],
        fontsize=8,
    )


def _width_axis(axes: Axes, widths: Sequence[float]) -> None:
    """Logarithmic, with the widths themselves as its ticks."""
    from matplotlib.ticker import FixedLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(widths)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{width:g}" for width in widths])
    axes.set_xlabel("width of the average, as a share of training")
    axes.margins(x=0.12)
