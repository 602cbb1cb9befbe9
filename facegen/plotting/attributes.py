"""`facegen plot attributes`: the labels of a data set, or of the latents made from one.

Letters: A attributes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from facegen.errors import DataError
from facegen.formats.dataset import RECORD_COLUMNS
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.plotting.style import COLOURS, MUTED, Plot, in_style, new_figure, title_of
from facegen.sampling.records import open_records
from facegen.types import LabelSchema

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MAX_BINS = 40
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


def plot_attributes(
    source: Path, out: Path | None = None, *, split: str = "train", csv: bool = False
) -> PlotSummary:
    """Draw balance and co-occurrence of the attributes of `split`, its class columns and its numbers.

    `source` is a prepared data set or a folder of latents.

    Raises:
        UsageError: `out` cannot be written as a figure.
        DataError: neither of the two, no such split, or no labels at all.
    """
    path = figure_path(out, source, "attributes")
    records = open_records(source, split)
    numbers = label_numbers(records.frame, records.labels)
    if numbers.balance.empty and not numbers.classes and not numbers.histograms:
        raise DataError(
            f"'{source}' has no labels: no attributes, classes or numbers.",
            hint=f"A classifier can add them: facegen label {source} --classifier RUN --out LABELLED",
        )
    title = f"{Path(source).resolve().name}: labels of {len(records.frame):,} images ({split})"
    plot = Plot(_figure(numbers, title), label_table(numbers))
    facts: dict[str, Any] = {"Images": len(records.frame)}
    if len(numbers.balance):
        facts["Rarest"] = _told(numbers.balance.iloc[-1])
        facts["Commonest"] = _told(numbers.balance.iloc[0])
    if numbers.phi is not None and (pair := _strongest(numbers.phi)):
        facts["Strongest pair"] = pair
    return save_plot(plot, path, csv=csv, facts=facts)


def label_numbers(frame: pd.DataFrame, labels: LabelSchema) -> LabelNumbers:
    """Counts and correlations of the columns of `frame`, commonest attribute first."""
    attributes = list(labels.attributes)
    known: Any = frame[attributes].astype("Float64")
    balance = pd.DataFrame(
        {
            "attribute": attributes,
            "yes": (known == 1).sum().to_numpy(dtype=int),
            "no": (known == 0).sum().to_numpy(dtype=int),
            "unknown": known.isna().sum().to_numpy(dtype=int),
        }
    )
    share = balance["yes"] / (balance["yes"] + balance["no"]).clip(lower=1)
    balance = balance.iloc[share.argsort(kind="stable")[::-1]].reset_index(drop=True)
    classes = {name: _class_counts(frame[name], values) for name, values in labels.classes.items()}
    numeric = numeric_columns(frame, labels)
    histograms = {name: histogram for name in numeric if (histogram := _histogram(frame[name]))}
    return LabelNumbers(balance, phi_matrix(frame, attributes), classes, histograms)


def numeric_columns(frame: pd.DataFrame, labels: LabelSchema) -> list[str]:
    """Columns of numbers that are no labels, such as an age."""
    described = (*RECORD_COLUMNS, *labels.attributes, *labels.classes)
    numbers = [name for name in frame if pd.api.types.is_numeric_dtype(frame[name].dtype)]
    return [str(name) for name in numbers if name not in described]


def phi_matrix(frame: pd.DataFrame, attributes: list[str]) -> pd.DataFrame | None:
    """phi, the Pearson correlation of two yes-or-no columns, of every pair: related ones stand together.

    A pair counts the images where both are known; NaN where one of them is always the same. The order is
    that of a hierarchical clustering (average linkage, optimal leaves: Bar-Joseph et al. 2001,
    doi:10.1093/bioinformatics/17.suppl_1.S22). None for fewer than two attributes.
    """
    if len(attributes) < 2:
        return None
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering

    known: Any = frame[attributes].astype("Float64").astype(float)
    phi = known.corr(min_periods=2)

    distance = 1 - np.nan_to_num(phi.to_numpy())
    pairs = distance[np.triu_indices(len(attributes), 1)]  # as scipy wants them
    order = leaves_list(optimal_leaf_ordering(linkage(pairs, "average"), pairs))
    return phi.iloc[order, order]


def label_table(numbers: LabelNumbers) -> pd.DataFrame:
    """What is drawn, long-form: `panel`, `name`, `value`, `images`, `share` of all images, `phi`."""
    rows: list[tuple[Any, ...]] = []
    for row in numbers.balance.to_dict("records"):
        counts = {answer: int(row[answer]) for answer in ("yes", "no", "unknown")}
        rows += _rows("balance", row["attribute"], counts)
    for name, counts in numbers.classes.items():
        rows += _rows("class", name, dict(counts))
    for name, histogram in numbers.histograms.items():
        spans = zip(histogram.edges[:-1], histogram.edges[1:], strict=True)
        counts = {f"{low:g} to {high:g}": n for (low, high), n in zip(spans, histogram.counts, strict=True)}
        rows += _rows(
            "histogram", name, counts | ({"unknown": histogram.unknown} if histogram.unknown else {})
        )
    if numbers.phi is not None:
        names, values = list(numbers.phi.columns), numbers.phi.to_numpy()
        for i, j in zip(*np.triu_indices(len(names), 1), strict=True):
            rows.append(("phi", names[i], names[j], None, None, values[i, j]))
    table = pd.DataFrame(rows, columns=["panel", "name", "value", "images", "share", "phi"])
    return table.astype({"images": "Int64"})


def _rows(panel: str, name: str, counts: dict[str, int]) -> list[tuple[Any, ...]]:
    total = max(1, sum(counts.values()))
    return [(panel, name, value, count, count / total, None) for value, count in counts.items()]


def _class_counts(column: Any, values: tuple[str, ...]) -> dict[str, int]:
    """Images per class, in the data set's order; "unknown" last where there are any."""
    found = column.value_counts()
    counts = {value: int(found.get(value, 0)) for value in values}
    unknown = int(column.isna().sum())
    return counts | ({"unknown": unknown} if unknown else {})


def _histogram(column: Any) -> Histogram | None:
    """Up to 40 bins, of whole numbers where the column is of whole numbers; None if nothing is known."""
    values = column.dropna().to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    from matplotlib.ticker import MaxNLocator

    low, high = float(values.min()), float(values.max())
    if (values == np.round(values)).all():
        edges = MaxNLocator(MAX_BINS, steps=[1, 2, 5, 10], integer=True).tick_values(low, high + 1)
    else:
        edges = np.linspace(low, high, MAX_BINS + 1) if high > low else np.array([low - 0.5, low + 0.5])
    counts, edges = np.histogram(values, bins=edges)
    return Histogram(edges.tolist(), counts.tolist(), len(column) - len(values))


def _told(row: Any) -> str:
    known = max(1, row["yes"] + row["no"])
    return f"{row['attribute']}: {100 * row['yes'] / known:.1f} %"


def _strongest(phi: pd.DataFrame) -> str | None:
    pairs: Any = phi.where(np.triu(np.ones(phi.shape, dtype=bool), 1)).stack().dropna()
    if pairs.empty:
        return None
    one, other = pairs.abs().idxmax()
    return f"{one} and {other}: phi {pairs[one, other]:.2f}"


def _figure(numbers: LabelNumbers, title: str) -> Figure:
    """Bars of the balance beside a heat map of phi; below them a panel for each class and numeric column."""
    rows = len(numbers.balance)
    small = [*numbers.classes, *numbers.histograms]
    with_map = numbers.phi is not None
    columns = 2 if len(small) == 4 else min(MAX_COLUMNS, max(1, len(small)))
    row = LARGE_ROW_INCHES if with_map and rows <= MAX_WITH_NUMBERS else ROW_INCHES
    top = max(2.8 if with_map else 1.2, row * rows + 1.2) if rows else 0.0
    bottom = PANEL_INCHES[1] * math.ceil(len(small) / columns) if small else 0.0
    upper = BARS_INCHES + MAP_WIDTH * top if with_map else 6.2 if rows else 0.0
    width = max(upper, PANEL_INCHES[0] * columns if small else 0.0)
    figure = new_figure(max(4.6, width), top + bottom + 0.35, title)
    with in_style():
        heights = [height for height in (top, bottom) if height]
        parts: list[Any] = list(
            figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        )
        if rows:
            _balance_and_map(parts.pop(0), numbers)
        if small:
            _small_panels(parts.pop(0), numbers, columns)
    return figure


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
    axes.set_yticks(places, [title_of(name) for name in balance["attribute"]], fontsize=7)
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
    names, count = [title_of(name) for name in phi.columns], len(phi)
    size = 6 if count > MAX_WITH_NUMBERS else 7
    axes.set_xticks(range(count), names, rotation=90, fontsize=size)
    axes.set_yticks(range(count), names, fontsize=size)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_anchor("NW")
    axes.set_title("Which go together")
    if count <= MAX_WITH_NUMBERS:
        for row, column in zip(*np.nonzero(np.abs(np.nan_to_num(values)) >= SMALLEST_NUMBER), strict=True):
            value = values[row, column]
            pale = "white" if abs(value) > 0.6 * limit else "black"
            text = f"{value:.2f}".replace("0.", ".").replace("-", "−")
            axes.text(column, row, text, ha="center", va="center", fontsize=5.5, color=pale)
    bar = part.colorbar(image, ax=axes, shrink=0.7, aspect=35, pad=0.02)
    words = "phi, correlation of yes and no:\n-1 never together, 0 unrelated, 1 always"
    bar.set_label(words, fontsize=7)
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
        _histogram_bars(next(panels), name, histogram)


def _class_bars(axes: Axes, name: str, counts: Mapping[str, int]) -> None:
    shown = dict(list(counts.items())[:MAX_BARS])
    left_out = len(counts) - len(shown)
    total = max(1, sum(counts.values()))
    places = np.arange(len(shown))
    colours = [MUTED if label == "unknown" else COLOURS[0] for label in shown]
    bars = axes.barh(places, [100 * count / total for count in shown.values()], color=colours, height=0.72)
    axes.bar_label(bars, [f"{count:,}" for count in shown.values()], padding=3, fontsize=7)
    axes.set_yticks(places, [title_of(label) for label in shown], fontsize=8)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.margins(x=0.16)
    axes.set_xlabel("share of images, %")
    axes.set_title(title_of(name) + (f" (the first {MAX_BARS} of {len(counts)})" if left_out else ""))
    axes.grid(axis="y", visible=False)


def _histogram_bars(axes: Axes, name: str, histogram: Histogram) -> None:
    axes.stairs(histogram.counts, histogram.edges, fill=True, color=COLOURS[0])
    axes.set_ylim(bottom=0)
    axes.set_xlim(histogram.edges[0], histogram.edges[-1])
    axes.set_xlabel("age, years" if name == "age" else title_of(name))
    axes.set_ylabel("images")
    axes.set_title(title_of(name) + (f" ({histogram.unknown:,} unknown)" if histogram.unknown else ""))
