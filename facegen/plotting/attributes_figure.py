"""What a data set's labels say: the balance of each, and which attributes go together.

Letters: A attributes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from facegen.plotting.style import COLOURS, MUTED, Plot, in_style, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

DIVERGING = "RdBu_r"  # ColorBrewer's, which the colour-blind can read (Harrower & Brewer 2003)
ROW_INCHES = 0.175
LARGE_ROW_INCHES = 0.25  # where cells tell numbers
BARS_INCHES = 4.2
MAP_WIDTH = 1.02  # of the height: the map, its names and its scale
PANEL_INCHES = (3.3, 2.7)
MAX_COLUMNS = 3
MAX_WITH_NUMBERS = 20  # attributes, up to which each cell of the heat map tells its number
SMALLEST_NUMBER = 0.05  # of those that are told
MAX_BARS = 24


@dataclass(frozen=True)
class Histogram:
    """How often the values of a numeric column fall between the `edges` (bins + 1): `counts` (bins)."""

    edges: Sequence[float]
    counts: Sequence[int]
    unknown: int = 0


@dataclass(frozen=True)
class LabelNumbers:
    """What is drawn. `balance` has a row an attribute, in the order drawn: `attribute`, `yes`, `no`,
    `unknown` (images). `phi` (A, A) is square, named on both sides, NaN where it is not defined. `classes`
    holds images per class of each class column, `histograms` the numeric columns."""

    balance: pd.DataFrame
    phi: pd.DataFrame | None = None
    classes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    histograms: Mapping[str, Histogram] = field(default_factory=dict)


def attributes_plot(numbers: LabelNumbers, table: pd.DataFrame, title: str) -> Plot:
    """Bars of the balance beside a heat map of phi; below them a panel for each class and numeric column.

    Raises:
        ValueError: nothing to draw.
    """
    rows = len(numbers.balance)
    small = [*numbers.classes, *numbers.histograms]
    if not rows + len(small):
        raise ValueError("there are no labels to draw")
    with_map = numbers.phi is not None
    columns = 2 if len(small) == 4 else min(MAX_COLUMNS, max(1, len(small)))
    row = LARGE_ROW_INCHES if with_map and rows <= MAX_WITH_NUMBERS else ROW_INCHES
    top = max(2.8 if with_map else 1.2, row * rows + 1.2) if rows else 0.0
    bottom = PANEL_INCHES[1] * math.ceil(len(small) / columns) if small else 0.0
    upper = BARS_INCHES + MAP_WIDTH * top if with_map else 6.2 if rows else 0.0
    width = max(upper, PANEL_INCHES[0] * columns if small else 0.0)
    figure = new_figure(max(4.6, width), top + bottom + 0.35)
    with in_style():
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
        heights = [height for height in (top, bottom) if height]
        parts: list[Any] = list(
            figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        )
        if rows:
            _balance_and_map(parts.pop(0), numbers)
        if small:
            _small_panels(parts.pop(0), numbers, columns)
    return Plot(figure, table)


def _balance_and_map(part: SubFigure, numbers: LabelNumbers) -> None:
    if numbers.phi is None:
        _balance(part.subplots(), numbers.balance)
        return
    map_width = MAP_WIDTH * part.bbox.height
    left, right = part.subplots(1, 2, width_ratios=(part.bbox.width - map_width, map_width))
    _balance(left, numbers.balance)
    _heat_map(part, right, numbers.phi)


def _balance(axes: Axes, balance: pd.DataFrame) -> None:
    places = np.arange(len(balance))
    counts = balance[["yes", "no", "unknown"]].to_numpy(dtype=float)
    shares = 100 * counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    starts = shares.cumsum(axis=1) - shares
    styles: tuple[dict[str, Any], ...] = (
        {"color": COLOURS[0], "label": "yes"},
        {"color": COLOURS[5], "alpha": 0.3, "label": "no"},
        {"color": "white", "edgecolor": MUTED, "hatch": "//////", "label": "unknown", "lw": 0.4},
    )
    for index, style in enumerate(styles):
        if index < 2 or counts[:, index].any():
            axes.barh(places, shares[:, index], left=starts[:, index], height=0.78, **style)
    for place, row in enumerate(counts):
        unknown = f" ({row[2]:,.0f} unknown)" if row[2] else ""
        axes.text(101.5, place, f"{row[0]:,.0f}{unknown}", va="center", fontsize=6.5)
    axes.axvline(50, color="black", lw=0.6, ls=":")
    axes.set_yticks(places, [_readable(name) for name in balance["attribute"]], fontsize=7)
    axes.set_ylim(len(balance) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of images, % (right: how many have it)")
    axes.set_title("Balance", pad=20)
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, fontsize=7, borderpad=0.2, borderaxespad=0.2
    )
    axes.grid(visible=False)


def _heat_map(part: SubFigure, axes: Axes, phi: pd.DataFrame) -> None:
    import matplotlib

    values = phi.to_numpy(dtype=float).copy()
    np.fill_diagonal(values, np.nan)
    finite = np.abs(values[np.isfinite(values)])
    limit = max(0.1, math.ceil(10 * finite.max()) / 10) if finite.size else 1.0
    colours = matplotlib.colormaps[DIVERGING].with_extremes(bad="#dddddd")
    image = axes.imshow(
        np.ma.masked_invalid(values), cmap=colours, vmin=-limit, vmax=limit, interpolation="nearest"
    )
    names, count = [_readable(name) for name in phi.columns], len(phi)
    size = 6 if count > MAX_WITH_NUMBERS else 7
    axes.set_xticks(range(count), names, rotation=90, fontsize=size)
    axes.set_yticks(range(count), names, fontsize=size)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_anchor("NW")
    axes.set_title("Which go together: phi (correlation of yes and no)")
    if count <= MAX_WITH_NUMBERS:
        for row, column in zip(*np.nonzero(np.abs(np.nan_to_num(values)) >= SMALLEST_NUMBER), strict=True):
            value = values[row, column]
            pale = "white" if abs(value) > 0.6 * limit else "black"
            text = f"{value:.2f}".replace("0.", ".").replace("-", "−")
            axes.text(column, row, text, ha="center", va="center", fontsize=5.5, color=pale)
    bar = part.colorbar(image, ax=axes, shrink=0.7, aspect=35, pad=0.02)
    bar.set_label("phi: -1 never together, 0 unrelated, 1 always")
    bar.outline.set_visible(False)  # type: ignore[operator]


def _small_panels(part: SubFigure, numbers: LabelNumbers, columns: int) -> None:
    count = len(numbers.classes) + len(numbers.histograms)
    grid = part.subplots(math.ceil(count / columns), columns, squeeze=False).flatten()
    for axes in grid[count:]:
        axes.set_axis_off()
    panels = iter(grid)
    for name, counts in numbers.classes.items():
        _class_bars(next(panels), name, counts)
    for name, histogram in numbers.histograms.items():
        _histogram(next(panels), name, histogram)


def _class_bars(axes: Axes, name: str, counts: Mapping[str, int]) -> None:
    shown = dict(list(counts.items())[:MAX_BARS])
    left_out = len(counts) - len(shown)
    total = max(1, sum(counts.values()))
    places = np.arange(len(shown))
    colours = [MUTED if label == "unknown" else COLOURS[0] for label in shown]
    axes.barh(places, [100 * count / total for count in shown.values()], color=colours, height=0.72)
    for place, count in zip(places, shown.values(), strict=True):
        axes.annotate(
            f"{count:,}",
            (100 * count / total, place),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    axes.set_yticks(places, [_readable(label) for label in shown], fontsize=8)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.margins(x=0.16)
    axes.set_xlabel("share of images, %")
    axes.set_title(_readable(name) + (f" (the first {MAX_BARS} of {len(counts)})" if left_out else ""))
    axes.grid(axis="y", visible=False)


def _histogram(axes: Axes, name: str, histogram: Histogram) -> None:
    axes.stairs(histogram.counts, histogram.edges, fill=True, color=COLOURS[0])
    axes.set_ylim(bottom=0)
    axes.set_xlim(histogram.edges[0], histogram.edges[-1])
    axes.set_xlabel("age, years" if name == "age" else _readable(name))
    axes.set_ylabel("images")
    axes.set_title(_readable(name) + (f" ({histogram.unknown:,} unknown)" if histogram.unknown else ""))


def _readable(name: Any) -> str:
    words = str(name).replace("_", " ")
    return words[:1].upper() + words[1:]
