"""A map of points in the plane, coloured by a label, with pictures of some of them.

Letters: N points, K pictures, H/W their height and width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facegen.plotting.style import COLOUR_MAP, COLOURS, MUTED, Plot, in_style, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAP_INCHES = 6.4  # the longer side of the map
FRAME_INCHES = (0.9, 0.75)  # labels and title around it
LEGEND_INCHES, BAR_INCHES = 0.3, 0.84  # above the map, for classes; right of it, for numbers
LEGEND_COLUMNS = 4  # a line of them is about as wide as the map
LEGEND_LINE_POINTS = 14
FLATTEST = 0.4  # the shorter side of the map as a share of the longer
MAX_CLASSES = len(COLOURS)
THUMBNAIL_SHARE = 0.05  # of the longer side of what the points span
MARGIN = 1.3  # around the points, in thumbnails


@dataclass(frozen=True)
class PointColours:
    """What points are coloured by: `codes` (N) into `classes`, -1 where unknown; or, without classes,
    numbers (N), NaN where unknown."""

    name: str
    codes: np.ndarray
    classes: Sequence[str] = ()


def spread_out(points: np.ndarray, count: int, side: float) -> np.ndarray:
    """Indices of up to `count` of `points` (N, 2) whose squares of `side` do not overlap, spread evenly.

    Farthest-point sampling in the maximum norm from the point nearest the centre (Gonzalez 1985): each next
    one is the farthest from those taken, until squares would overlap.
    """
    if not len(points) or count < 1:
        return np.zeros(0, dtype=int)
    taken = [int(np.abs(points - np.median(points, axis=0)).max(axis=1).argmin())]
    nearest = np.abs(points - points[taken[0]]).max(axis=1)
    while len(taken) < count and nearest.max() >= side:
        taken.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.abs(points - points[taken[-1]]).max(axis=1))
    return np.array(taken)


@dataclass(frozen=True)
class View:
    """What of the plane is shown, in the points' own unit: `centre` (2), `size` (2: width, height), and the
    `thumbnail`'s side."""

    centre: np.ndarray
    size: np.ndarray
    thumbnail: float


def view_of(points: np.ndarray) -> View:
    """The view that shows all of `points` (N, 2), pictures at its rim included."""
    low, high = points.min(axis=0), points.max(axis=0)
    widest = max(float((high - low).max()), 1e-9)
    thumbnail = THUMBNAIL_SHARE * widest
    size = np.maximum(high - low, FLATTEST * widest) + MARGIN * thumbnail
    return View((low + high) / 2, size, thumbnail)


def latents_plot(
    points: np.ndarray,
    colours: PointColours | None,
    axis_labels: tuple[str, str],
    title: str,
    table: pd.DataFrame,
    thumbnails: tuple[np.ndarray, np.ndarray] | None = None,
    *,
    ticks: bool = False,
) -> Plot:
    """The map of `points` (N, 2), both axes of one scale; `ticks` where numbers on them mean something.

    `thumbnails` are indices (K) and uint8 pictures (K, H, W, 3), drawn where their points are.

    Raises:
        ValueError: more classes than there are colours.
    """
    if colours is not None and len(colours.classes) > MAX_CLASSES:
        raise ValueError(f"{len(colours.classes)} classes; {MAX_CLASSES} can be told apart by colour")
    view = view_of(points)
    width, height = MAP_INCHES * view.size / view.size.max() + FRAME_INCHES
    named, measured = (colours is not None and bool(colours.classes) is kind for kind in (True, False))
    figure = new_figure(width + BAR_INCHES * measured, height + LEGEND_INCHES * named)
    with in_style():
        axes = figure.subplots()
        _scatter(figure, axes, points, colours)
        if thumbnails is not None:
            _place_thumbnails(axes, points, colours, *thumbnails, side=view.thumbnail)
        axes.set_aspect("equal")
        (left, bottom), (right, top) = view.centre - view.size / 2, view.centre + view.size / 2
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)
        axes.set_xlabel(axis_labels[0])
        axes.set_ylabel(axis_labels[1])
        if not ticks:
            axes.set_xticks([])
            axes.set_yticks([])
        entries = _legend(axes, colours) if named and colours is not None else 0
        axes.set_title(title, fontsize=10, pad=6 + LEGEND_LINE_POINTS * entries)
    return Plot(figure, table)


def _scatter(figure: Figure, axes: Axes, points: np.ndarray, colours: PointColours | None) -> None:
    size = float(np.clip(30_000 / len(points), 3, 30))
    style: dict[str, Any] = {"s": size, "lw": 0, "alpha": 0.75, "rasterized": len(points) > 2000}
    if colours is None:
        axes.scatter(points[:, 0], points[:, 1], color=COLOURS[0], **style)
        return
    if not colours.classes:
        known = np.isfinite(colours.codes)
        axes.scatter(*points[~known].T, color=MUTED, **style)
        drawn = axes.scatter(*points[known].T, c=colours.codes[known], cmap=COLOUR_MAP, **style)
        bar = figure.colorbar(drawn, ax=axes, shrink=0.6, aspect=35, pad=0.02)
        bar.set_label(colours.name.replace("_", " "))
        bar.solids.set_alpha(1)  # type: ignore[union-attr]
        return
    axes.scatter(*points.T, color=[_colour(code) for code in colours.codes.tolist()], **style)


def _legend(axes: Axes, colours: PointColours) -> int:
    """What the colours mean, between the title and the map; the lines it takes."""
    from matplotlib.lines import Line2D

    handles = []
    for code in [*range(len(colours.classes)), -1]:
        number = int((colours.codes == code).sum())
        if number or code >= 0:
            label = "unknown" if code < 0 else colours.classes[code].replace("_", " ")
            style: dict[str, Any] = {"marker": "o", "ls": "", "ms": 6, "color": _colour(code)}
            handles.append(Line2D([], [], **style, label=f"{label} ({number:,})"))
    columns = min(LEGEND_COLUMNS, len(handles))
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=columns,
        handletextpad=0.1,
        borderaxespad=0,
        borderpad=0.2,
    )
    return math.ceil(len(handles) / columns)


def _colour(code: float) -> str:
    return MUTED if code < 0 else COLOURS[int(code)]


def _place_thumbnails(
    axes: Axes,
    points: np.ndarray,
    colours: PointColours | None,
    indices: np.ndarray,
    pictures: np.ndarray,
    *,
    side: float,
) -> None:
    from matplotlib.patches import Rectangle

    half = side / 2 * 0.94
    for index, picture in zip(indices, pictures, strict=True):
        x, y = points[index]
        axes.imshow(
            picture, extent=(x - half, x + half, y - half, y + half), zorder=3, interpolation="lanczos"
        )
        edge = "black"
        if colours is not None and colours.classes:
            edge = _colour(float(colours.codes[index]))
        corner = (x - half, y - half)
        axes.add_patch(Rectangle(corner, 2 * half, 2 * half, fill=False, ec=edge, lw=1.3, zorder=4))
