"""A result as bars: a panel a stage, a bar a way, as far as its rate reaches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from facegen.bench.result import BenchResult, StageResult, quartiles
from facegen.plotting.saving import PlotSummary, save_plot
from facegen.plotting.style import COLOURS, MUTED, Plot, in_style, new_figure, title_of
from facegen.wording import number_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

COLOUR_OF = {"facegen": COLOURS[0], "peer": COLOURS[1], "limit": MUTED}
WORDS_OF = {"facegen": "facegen", "peer": "what others do", "limit": "the least it can take"}
ROW_INCHES, HEAD_INCHES, WIDTH_INCHES = 0.21, 0.75, 8.0


def write_picture(found: BenchResult, path: Path) -> PlotSummary:
    """Draw the result and write it in the format of the suffix.

    Raises:
        StorageError: the disk is full or may not be written.
    """
    heights = [HEAD_INCHES + ROW_INCHES * len(stage.ways) for stage in found.stages]
    machine = found.machine
    title = f"{machine.processor}, {machine.cores} cores" + (" (quick)" if found.quick else "")
    figure = new_figure(WIDTH_INCHES, sum(heights) + 0.6, title)
    with in_style():
        panels = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        for axes, stage in zip(panels, found.stages, strict=True):
            _bars(axes, stage)
        handles = [panels[0].barh(0, 0, color=COLOUR_OF[role]) for role in COLOUR_OF]
        figure.legend(handles, list(WORDS_OF.values()), loc="outside lower left", ncols=len(handles))
    return save_plot(Plot(figure, table_of(found)), path)


def _bars(axes: Axes, stage: StageResult) -> None:
    """Rates on a logarithmic axis, the quartiles of the rounds as a line at the bar's end."""
    ways = stage.ways
    rates = [way.per_second for way in ways]
    ends = [quartiles([1 / seconds for seconds in way.seconds]) for way in ways]
    spread = [
        [max(0.0, rate - low) for rate, (low, _) in zip(rates, ends, strict=True)],
        [max(0.0, high - rate) for rate, (_, high) in zip(rates, ends, strict=True)],
    ]
    places = range(len(ways))
    bars = axes.barh(
        places, rates, xerr=spread, color=[COLOUR_OF[way.role] for way in ways], height=0.75, ecolor="black"
    )
    axes.bar_label(bars, [f" {number_text(rate)}" for rate in rates], fontsize=6.5)
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_yticks(places, [way.name for way in ways], fontsize=6.5)
    axes.set_ylim(len(ways) - 0.5, -0.5)
    axes.set_xlabel(f"{'s, '.join(dict.fromkeys(way.item for way in ways))}s a second", fontsize=7)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_title(title_of(stage.stage))


def table_of(found: BenchResult) -> pd.DataFrame:
    """What is drawn: a row a way, with its rate and seconds an item, from the first to the third quartile."""
    import pandas as pd

    rows = [
        (stage.stage, way.name, way.role, way.item, way.per_second, *quartiles(way.seconds))
        for stage in found.stages
        for way in stage.ways
    ]
    columns = ["stage", "way", "role", "item", "per_second", "seconds_low", "seconds_high"]
    return pd.DataFrame(rows, columns=columns)
