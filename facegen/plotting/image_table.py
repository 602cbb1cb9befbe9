"""Pictures in rows and columns with labels: grids, strips, timelapses.

Letters: R rows, C columns, H/W height and width of a picture in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from facegen.plotting.style import FIGURE_DPI, in_style, new_figure, text_inches, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALLEST_CELL_PIXELS = 128
GAP_PIXELS = 6
FONT_SIZE, TITLE_SIZE = 8.0, 9.5
LINE_INCHES, TITLE_LINE_INCHES = 0.16, 0.19
NARROWEST_TITLE_INCHES = 2.2  # for which a narrow table is widened; longer titles are wrapped


def image_table(
    images: np.ndarray,
    *,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    captions: Sequence[Sequence[str]] = (),
    title: str = "",
    corner: str = "",
) -> Figure:
    """A figure of uint8 pictures (R, C, H, W, 3), each pixel a square of whole pixels of the PNG.

    `row_labels` stand left, `column_labels` above, `corner` left of those, line by line, and
    `captions[row][column]` below each picture; columns move apart where labels need it. A picture of which
    all values are 0 and that has no caption is left out, so that a last row may be short.

    Raises:
        ValueError: labels that are not as many as rows or columns, or no pictures.
    """
    rows, columns, height, width = images.shape[:4]
    if not rows * columns:
        raise ValueError("an image table needs at least one picture")
    for found, number in ((len(row_labels), rows), (len(column_labels), columns), (len(captions), rows)):
        if found not in (0, number):
            raise ValueError(f"{found} labels for {number} rows or columns")
    scale = max(1, math.ceil(SMALLEST_CELL_PIXELS / height))
    cell_width, cell_height = scale * width, scale * height
    below_each = [text for line in captions for text in line]
    pitch = max(cell_width, _pixels([*column_labels, *below_each])) + GAP_PIXELS  # from column to column
    overhang = max(0, math.ceil((_pixels(column_labels) - cell_width) / 2))  # of labels on each side
    left = max(overhang + _pixels([corner]), _pixels(row_labels)) + (20 if corner or row_labels else 16)
    pictures_width = max(columns * pitch, round(FIGURE_DPI * NARROWEST_TITLE_INCHES) if title else 0)
    title = "\n".join(wrapped(title, pictures_width / FIGURE_DPI, TITLE_SIZE))
    title_height = TITLE_LINE_INCHES * _lines([title]) + (0.05 if title else 0)
    top = round(FIGURE_DPI * (LINE_INCHES * _lines([*column_labels, corner]) + title_height + 0.06))
    row_height = cell_height + round(FIGURE_DPI * LINE_INCHES * _lines(below_each)) + GAP_PIXELS
    page_width = left + pictures_width + GAP_PIXELS
    page_height = top + rows * row_height + GAP_PIXELS
    figure = new_figure(page_width / FIGURE_DPI, page_height / FIGURE_DPI)
    figure.set_layout_engine("none")

    def write(x: float, y: float, text: str, fontsize: float = FONT_SIZE, **style: Any) -> None:
        if text:  # a prompt may have dollars, which are no mathematics
            place = (x / page_width, 1 - y / page_height)
            figure.text(*place, text, fontsize=fontsize, parse_math=False, **style)

    with in_style():
        for row, column in product(range(rows), range(columns)):
            image, caption = images[row, column], captions[row][column] if captions else ""
            if caption or image.any():
                x, bottom = left + column * pitch, top + row * row_height + cell_height
                size = (cell_width / page_width, cell_height / page_height)
                axes = figure.add_axes((x / page_width, 1 - bottom / page_height, *size))
                axes.imshow(image, interpolation="nearest")
                axes.set_axis_off()
                write(x, bottom + 4, caption, va="top")
        for row, label in enumerate(row_labels):
            write(left - 10, top + row * row_height + cell_height / 2, label, ha="right", va="center")
        for column, label in enumerate(column_labels):
            write(left + column * pitch + cell_width / 2, top - 6, label, ha="center", va="bottom")
        write(left - 10 - overhang, top - 6, corner, ha="right", va="bottom")
        write(left + 2, 14, title, TITLE_SIZE, va="top")
    return figure


def _pixels(texts: Sequence[str]) -> int:
    """Width of the longest line in pixels of the PNG."""
    return math.ceil(FIGURE_DPI * text_inches("\n".join(texts), FONT_SIZE))


def _lines(texts: Sequence[str]) -> int:
    """Lines of the highest text."""
    return max((text.count("\n") + 1 for text in texts if text), default=0)
