"""Line charts as inline SVG, coloured by the page's style so that they fit light and dark."""

from __future__ import annotations

import io
import re

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from facegen.report.blocks import Chart, Series

WIDTH, HEIGHT = 720, 300
BOX = (0.085, 0.19, 0.9, 0.77)  # of the axes: left, bottom, width, height, in shares of the figure
MAX_POINTS = 400
NUM_COLOURS = 6  # --series-1 .. --series-6 of report.css
COLOURS = {f"#00000{index}": f"var(--series-{index})" for index in range(1, NUM_COLOURS + 1)}
COLOURS |= {"#00000a": "var(--line)", "#00000b": "var(--soft)"}  # placeholders that matplotlib takes
NEEDLESS = r' id="[^"]*"| font-family: [^;]*;|<defs>.*?</defs>'  # the page has its own fonts and styles


def line_chart(chart: Chart) -> str:
    """The lines, without their legend; longer ones than 400 points are thinned by averaging."""
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "facegen"}):
        figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72)
        FigureCanvasSVG(figure)
        axes = figure.add_axes(BOX)
        for index, line in enumerate(chart.lines):
            x, y = _points(line)
            style, width = ((0, (5, 5)), 1.5) if line.dashed else ("-", 2)
            colour = f"#00000{index % NUM_COLOURS + 1}"
            axes.plot(x, y, color=colour, linestyle=style, linewidth=width, clip_on=False)
        for axis, ticks in ((axes.xaxis, 6), (axes.yaxis, 5)):
            axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
            axis.set_major_formatter(lambda value, _: _short(value))
        axes.margins(x=0)
        axes.grid(axis="y", color="#00000a", clip_on=False)
        axes.tick_params(length=0, labelcolor="#00000b", labelsize=13, pad=6)
        axes.spines[:].set_visible(False)
        axes.set_xlabel(
            chart.x_label, color="#00000b", fontsize=13, loc="right", labelpad=8, parse_math=False
        )
        file = io.StringIO()
        nameless = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nameless)
    svg = re.sub(NEEDLESS, "", file.getvalue(), flags=re.DOTALL)
    svg = re.sub("#00000[1-9ab]", lambda found: COLOURS[found.group()], svg)
    return svg[svg.index("<svg") :]


def _points(line: Series) -> np.ndarray:
    """The finite points of the line, as x and y, (2, N), N at most 400."""
    points = np.array([line.x, line.y], dtype=float)
    points = points[:, np.isfinite(points).all(axis=0)]
    count = points.shape[1]
    starts = np.arange(0, count, max(1, -(-count // MAX_POINTS)))
    return np.add.reduceat(points, starts, axis=1) / np.diff([*starts, count])


def _short(value: float) -> str:
    return f"{value / 1000:g}k" if 1000 <= abs(value) < 1e6 else f"{value:.4g}"
