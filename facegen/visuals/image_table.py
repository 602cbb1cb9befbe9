"""Pictures in rows and columns with labels: grids, strips, timelapses.

Letters: R rows, C columns, H/W height and width of a picture in pixels.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facegen.visuals.style import FIGURE_DPI, in_style, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALLEST_CELL_PIXELS = 128
GAP_PIXELS = 6
LETTER_INCHES = 0.075  # width of a letter of a row's label
LINE_INCHES = 0.16
TITLE_LETTER_INCHES, TITLE_LINE_INCHES = 0.085, 0.19
SHORTEST_TITLE = 24  # letters for which a narrow table is widened; longer titles are wrapped
FONT_SIZE = 8


def image_table(
    images: np.ndarray,
    *,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    captions: Sequence[Sequence[str]] = (),
    title: str = "",
) -> Figure:
    """A figure of uint8 pictures (R, C, H, W, 3), each pixel a square of whole pixels of the PNG.

    `row_labels` stand left, `column_labels` above, `captions[row][column]` below each picture. A picture of
    which all values are 0 and that has no caption is left out, so that a last row may be short.

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
    page = _page(rows, columns, scale * width, scale * height, row_labels, column_labels, captions, title)
    figure = new_figure(page.width / FIGURE_DPI, page.height / FIGURE_DPI)
    figure.set_layout_engine("none")
    with in_style():
        for row in range(rows):
            for column in range(columns):
                caption = captions[row][column] if captions else ""
                if caption or images[row, column].any():
                    _place(figure, page, row, column, images[row, column], caption)
        for row, label in enumerate(row_labels):
            y = page.top_of(row) + page.cell_height / 2
            page.write(figure, page.left - 10, y, label, ha="right", va="center")
        for column, label in enumerate(column_labels):
            x = page.left_of(column) + page.cell_width / 2
            page.write(figure, x, page.top - 6, label, ha="center", va="bottom")
        if title:
            page.write(figure, page.left + 2, 6, page.title, va="top", fontsize=FONT_SIZE + 1.5)
    return figure


@dataclass(frozen=True)
class _Page:
    """Where things are, in pixels from the upper left."""

    width: int
    height: int
    left: int
    top: int
    cell_width: int
    cell_height: int
    below: int  # what stands under each row of pictures: captions and the gap
    title: str  # wrapped to the width

    def left_of(self, column: int) -> int:
        return self.left + column * (self.cell_width + GAP_PIXELS)

    def top_of(self, row: int) -> int:
        return self.top + row * (self.cell_height + self.below)

    def write(self, figure: Figure, x: float, y: float, text: str, **style: Any) -> None:
        figure.text(x / self.width, 1 - y / self.height, text, **{"fontsize": FONT_SIZE, **style})


def _page(
    rows: int,
    columns: int,
    cell_width: int,
    cell_height: int,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    captions: Sequence[Sequence[str]],
    title: str,
) -> _Page:
    caption_lines = max((_lines(text) for line in captions for text in line), default=0)
    head_lines = max(map(_lines, column_labels), default=0)
    longest = max((len(line) for label in row_labels for line in label.splitlines()), default=0)
    left = round(FIGURE_DPI * (LETTER_INCHES * longest + 0.08))
    title_letters = max(
        SHORTEST_TITLE, int(columns * (cell_width + GAP_PIXELS) / FIGURE_DPI / TITLE_LETTER_INCHES)
    )
    title = "\n".join(line for part in title.splitlines() for line in textwrap.wrap(part, title_letters))
    title_width = TITLE_LETTER_INCHES * max(map(len, title.splitlines()), default=0)
    title_height = TITLE_LINE_INCHES * _lines(title) + (0.05 if title else 0)
    top = round(FIGURE_DPI * (LINE_INCHES * head_lines + title_height + 0.06))
    below = round(FIGURE_DPI * LINE_INCHES * caption_lines) + GAP_PIXELS
    pictures_width = max(columns * (cell_width + GAP_PIXELS), round(FIGURE_DPI * title_width))
    width = left + pictures_width + GAP_PIXELS
    height = top + rows * (cell_height + below) + GAP_PIXELS
    return _Page(width, height, left, top, cell_width, cell_height, below, title)


def _place(figure: Figure, page: _Page, row: int, column: int, image: np.ndarray, caption: str) -> None:
    x, bottom = page.left_of(column), page.top_of(row) + page.cell_height
    left_bottom = (x / page.width, 1 - bottom / page.height)
    size = (page.cell_width / page.width, page.cell_height / page.height)
    axes = figure.add_axes((*left_bottom, *size))
    axes.imshow(image, interpolation="nearest")
    axes.set_axis_off()
    if caption:
        page.write(figure, x, bottom + 4, caption, va="top")


def _lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0
