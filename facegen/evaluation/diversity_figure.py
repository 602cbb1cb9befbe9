"""Distances between drawn people beside those between real ones, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from facegen.vocabulary.words import readable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAWN, REAL = "#d1495b", "#2a6f97"
BINS = 40
GROUPS_SHOWN = 16


@dataclass(frozen=True)
class Distances:
    """Of each of `num_faces` drawn faces and as many real ones to the nearest other, and of all pairs."""

    num_faces: int
    nearest: tuple[np.ndarray, np.ndarray]
    pairs: tuple[np.ndarray, np.ndarray]

    @staticmethod
    def of(drawn: Tensor, real: Tensor) -> Distances:
        """Those of features (N, D) each, N at least 2."""
        nearest, pairs = [], []
        for features in (drawn.double(), real.double()):
            between = torch.cdist(features, features).fill_diagonal_(float("inf"))
            nearest.append(between.amin(1).numpy())
            pairs.append(torch.pdist(features).numpy())
        return Distances(len(drawn), (nearest[0], nearest[1]), (pairs[0], pairs[1]))


def diversity_figure(distances: Distances, rows: Sequence[Mapping[str, Any]], features: str) -> Figure:
    """Histograms of the distances, and beside them the spreads of the groups that fall shortest of real
    people, with 95 % intervals; `rows` are a report's, everyone first, in `features`."""
    from matplotlib.figure import Figure

    everyone, *groups = [row for row in rows if row["difference"] is not None]
    shown = [everyone, *sorted(groups, key=lambda row: row["difference"]["value"])[:GROUPS_SHOWN]]
    columns = 3 if groups else 2
    height = max(3.8, 1.2 + 0.24 * len(shown)) if groups else 3.8
    figure = Figure(figsize=(4.4 * columns, height), dpi=130, layout="constrained")
    axes = figure.subplots(1, columns)
    _histogram(axes[0], distances.nearest, "distance to the most alike other face", "share of faces")
    _histogram(axes[1], distances.pairs, "distance of two faces", "share of pairs")
    axes[0].legend(frameon=False, fontsize=8)
    axes[0].set_title(f"{distances.num_faces:,} drawn and as many real people", fontsize=9, loc="left")
    axes[1].set_title(f"features: {features}", fontsize=9, loc="left")
    if groups:
        _strip(axes[2], shown)
        left_out = len(groups) + 1 - len(shown)
        told = f", {left_out} more in the report" if left_out else ""
        axes[2].set_title(f"mean distance within groups{told}", fontsize=9, loc="left")
    return figure


def _histogram(axes: Axes, sides: tuple[np.ndarray, np.ndarray], across: str, down: str) -> None:
    edges = np.histogram_bin_edges(np.concatenate(sides), bins=BINS)
    for values, name, colour in zip(sides, ("drawn", "real"), (DRAWN, REAL), strict=True):
        shares = np.histogram(values, edges)[0] / len(values)
        axes.stairs(shares, edges, fill=True, color=colour, alpha=0.3)
        axes.stairs(shares, edges, color=colour, label=name)
        axes.axvline(values.mean(), color=colour, linestyle="dashed", linewidth=1)
    axes.set_xlabel(f"{across} (dashed: mean)")
    axes.set_ylabel(down)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.2)


def _strip(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    for place, row in enumerate(rows):
        for side, colour, shift in (("drawn", DRAWN, -0.14), ("real", REAL, 0.14)):
            found = row[side]
            axes.hlines(place + shift, found["low"], found["high"], color=colour, alpha=0.5)
            axes.plot(found["value"], place + shift, "o", color=colour, markersize=4)
    names = [readable(f"{row['label']}: {row['value']}" if row["value"] else row["label"]) for row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("mean distance of two faces, 95 %")
    axes.grid(alpha=0.2, axis="x")
