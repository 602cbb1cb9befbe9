"""`facegen plot attributes`: the labels of a data set, or of the latents made from one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facegen.errors import DataError
from facegen.formats.dataset import RECORD_COLUMNS
from facegen.plotting.attributes_figure import Histogram, LabelNumbers, attributes_plot
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.sampling.records import LabelledRecords, open_records
from facegen.types import LabelSchema

MAX_BINS = 40


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
    numbers = label_numbers(records.frame, labels_of(records))
    if numbers.balance.empty and not numbers.classes and not numbers.histograms:
        raise DataError(
            f"'{source}' has no labels: no attributes, classes or numbers.",
            hint=f"A classifier can add them: facegen label {source} --classifier RUN --out LABELLED",
        )
    title = f"{Path(source).resolve().name}: labels of {len(records.frame):,} images ({split})"
    plot = attributes_plot(numbers, label_table(numbers), title)
    facts: dict[str, Any] = {"Images": len(records.frame)}
    if len(numbers.balance):
        facts["Rarest"] = _told(numbers.balance.iloc[-1])
        facts["Commonest"] = _told(numbers.balance.iloc[0])
    if numbers.phi is not None and (pair := _strongest(numbers.phi)):
        facts["Strongest pair"] = pair
    return save_plot(plot, path, csv=csv, facts=facts)


def labels_of(records: LabelledRecords) -> LabelSchema:
    """Which labels the records carry."""
    if records.dataset is not None:
        return records.dataset.manifest.labels
    return records.latents.index.labels if records.latents is not None else LabelSchema()


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
    described = {*RECORD_COLUMNS, *attributes, *labels.classes}
    numeric = [
        name for name in frame if name not in described and pd.api.types.is_numeric_dtype(frame[name].dtype)
    ]
    histograms = {str(name): histogram for name in numeric if (histogram := _histogram(frame[name]))}
    return LabelNumbers(balance, phi_matrix(frame, attributes), classes, histograms)


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
    low, high = float(values.min()), float(values.max())
    if (values == np.round(values)).all():
        width = _round_width((high - low + 1) / MAX_BINS)
        start = low - low % width
        edges = np.arange(start, high + width + 0.5, width)
    else:
        edges = np.linspace(low, high, MAX_BINS + 1) if high > low else np.array([low - 0.5, low + 0.5])
    counts, edges = np.histogram(values, bins=edges)
    return Histogram(edges.tolist(), counts.tolist(), len(column) - len(values))


def _round_width(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, ... that is not below `least`."""
    power = 10 ** max(0, math.floor(math.log10(max(1.0, least))))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)


def _told(row: Any) -> str:
    known = max(1, row["yes"] + row["no"])
    return f"{row['attribute']}: {100 * row['yes'] / known:.1f} %"


def _strongest(phi: pd.DataFrame) -> str | None:
    values = phi.to_numpy(dtype=float).copy()
    values[np.tril_indices(len(values))] = np.nan
    if not np.isfinite(values).any():
        return None
    i, j = np.unravel_index(np.nanargmax(np.abs(values)), values.shape)
    return f"{phi.columns[i]} and {phi.columns[j]}: phi {values[i, j]:.2f}"
