"""Attention drawn over a face: each picture shows where a query looks, or what looks at a word.

Letters: H/W height and width of the face in pixels, h/w rows and columns of a map's cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facegen.plotting.image_table import image_table
from facegen.plotting.style import COLOUR_MAP, Plot, in_style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FACE_PIXELS = 192  # a face is shown at least as large
OPACITY = 0.55  # of the heat over the face, which stays visible in grey
LINE_PIXELS = 1
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
SCALE = f"0{' ' * 18}most"  # the bar is drawn in the gap
MOST_INCHES, BAR_LIFT_INCHES = 0.38, 0.05  # from the pictures, as far as "most" and its foot reach
BAR_INCHES = (0.53, 0.09)


@dataclass(frozen=True)
class Heat:
    """Values (h, w) from 0 up, to be laid over a face; `mark` is a cell (row, column) to be framed."""

    values: np.ndarray
    caption: str
    mark: tuple[int, int] | None = None


@dataclass(frozen=True)
class Picture:
    """A plain face, uint8 (H, W, 3)."""

    image: np.ndarray
    caption: str = ""


def attention_plot(
    rows: Sequence[Sequence[Heat | Picture]],
    face: np.ndarray,
    table: pd.DataFrame,
    *,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    title: str,
) -> Plot:
    """A table of heat maps over `face`, uint8 (H, W, 3), and of plain pictures; a legend of the colours.

    Colours run from 0 to the largest value of each picture, so that captions have to say how much that is.
    """
    scale = math.ceil(FACE_PIXELS / face.shape[0])
    cells = np.stack([np.stack([_drawn(cell, face, scale) for cell in row]) for row in rows])
    captions = [[cell.caption for cell in row] for row in rows]
    figure = image_table(
        cells,
        row_labels=row_labels,
        column_labels=column_labels,
        captions=captions if any(map(any, captions)) else (),
        title=title,
        corner=SCALE,
    )
    _legend(figure)
    return Plot(figure, table)


def overlay(face: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`values` (h, w) from 0 up as colours over the grey `face` (H, W, 3): uint8 (H, W, 3).

    The largest value has the last colour. Between the middles of cells values are interpolated.
    """
    from matplotlib import colormaps

    colours: Any = colormaps[COLOUR_MAP]
    heat = colours(_enlarged(values / max(values.max(), 1e-12), face.shape[:2]))[..., :3]
    return (OPACITY * 255 * heat + (1 - OPACITY) * _grey(face)).round().astype(np.uint8)


def _grey(face: np.ndarray) -> np.ndarray:
    """Luma (H, W, 1) in [0, 255]."""
    return (face @ np.array(LUMA))[..., None]


def _enlarged(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(values.astype(np.float32))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _drawn(cell: Heat | Picture, face: np.ndarray, scale: int) -> np.ndarray:
    if isinstance(cell, Picture):
        return _magnified(cell.image, scale)
    image = overlay(_magnified(face, scale), cell.values)
    if cell.mark is not None:
        _frame(image, cell.mark, cell.values.shape)
    return image


def _magnified(image: np.ndarray, scale: int) -> np.ndarray:
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


def _frame(image: np.ndarray, cell: tuple[int, int], cells: tuple[int, ...]) -> None:
    """Draw the outline of `cell` (row, column) of a grid of `cells` (h, w): white within black."""
    (top, bottom), (left, right) = (
        (round(at * size / count), round((at + 1) * size / count))
        for at, count, size in zip(cell, cells, image.shape, strict=False)
    )
    framed = image[top:bottom, left:right]
    inside = framed[2 * LINE_PIXELS : -2 * LINE_PIXELS, 2 * LINE_PIXELS : -2 * LINE_PIXELS].copy()
    framed[:] = 0
    framed[LINE_PIXELS:-LINE_PIXELS, LINE_PIXELS:-LINE_PIXELS] = 255
    framed[2 * LINE_PIXELS : -2 * LINE_PIXELS, 2 * LINE_PIXELS : -2 * LINE_PIXELS] = inside


def _legend(figure: Figure) -> None:
    """A bar of the colours in the gap of the words beside the columns' labels."""
    width, height = figure.get_size_inches()
    box = figure.axes[0].get_position()
    right, bottom = box.x0 * width - MOST_INCHES, box.y1 * height + BAR_LIFT_INCHES
    with in_style():
        bar = figure.add_axes(
            (
                (right - BAR_INCHES[0]) / width,
                bottom / height,
                BAR_INCHES[0] / width,
                BAR_INCHES[1] / height,
            )
        )
        bar.imshow(overlay(np.full((1, 256, 3), 128), np.linspace(0, 1, 256)[None]), aspect="auto")
        bar.set_axis_off()
