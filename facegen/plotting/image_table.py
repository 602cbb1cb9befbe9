"""Pictures in rows and columns with labels: grids, strips, timelapses.

Letters: R rows, C columns, H/W height and width of a picture in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
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
    words = _Words(row_labels, column_labels, captions, title, corner)
    page = _page(rows, columns, scale * width, scale * height, words)
    figure = new_figure(page.width / FIGURE_DPI, page.height / FIGURE_DPI)
    figure.set_layout_engine("none")
    with in_style():
        for row, column in product(range(rows), range(columns)):
            image, caption = images[row, column], captions[row][column] if captions else ""
            if caption or image.any():
                x, bottom = page.left_of(column), page.top_of(row) + page.cell_height
                size = (page.cell_width / page.width, page.cell_height / page.height)
                axes = figure.add_axes((x / page.width, 1 - bottom / page.height, *size))
                axes.imshow(image, interpolation="nearest")
                axes.set_axis_off()
                page.write(figure, x, bottom + 4, caption, va="top")
        _write(figure, page, words)
    return figure


@dataclass(frozen=True)
class _Words:
    """Everything written around the pictures."""

    rows: Sequence[str]
    columns: Sequence[str]
    captions: Sequence[Sequence[str]]
    title: str
    corner: str


@dataclass(frozen=True)
class _Page:
    """Where things are, in pixels from the upper left."""

    width: int
    height: int
    left: int
    top: int
    cell_width: int
    cell_height: int
    pitch: int  # from column to column
    overhang: int  # how far the widest label of a column stands out on each side of its picture
    below: int  # what stands under each row of pictures: captions and the gap
    title: str  # wrapped to the width

    def left_of(self, column: int) -> int:
        return self.left + column * self.pitch

    def top_of(self, row: int) -> int:
        return self.top + row * (self.cell_height + self.below)

    def write(self, figure: Figure, x: float, y: float, text: str, **style: Any) -> None:
        style = {"fontsize": FONT_SIZE, "parse_math": False, **style}  # a prompt may have dollars
        if text:
            figure.text(x / self.width, 1 - y / self.height, text, **style)


def _write(figure: Figure, page: _Page, words: _Words) -> None:
    for row, label in enumerate(words.rows):
        y = page.top_of(row) + page.cell_height / 2
        page.write(figure, page.left - 10, y, label, ha="right", va="center")
    for column, label in enumerate(words.columns):
        x = page.left_of(column) + page.cell_width / 2
        page.write(figure, x, page.top - 6, label, ha="center", va="bottom")
    page.write(figure, page.left - 10 - page.overhang, page.top - 6, words.corner, ha="right", va="bottom")
    page.write(figure, page.left + 2, 14, page.title, va="top", fontsize=TITLE_SIZE)


def _page(rows: int, columns: int, cell_width: int, cell_height: int, words: _Words) -> _Page:
    captions = [text for line in words.captions for text in line]
    widest = max(_text_pixels(text) for text in ("", *words.columns, *captions))
    pitch = max(cell_width, widest) + GAP_PIXELS
    overhang = max(0, math.ceil((max(map(_text_pixels, ("", *words.columns))) - cell_width) / 2))
    corner = _text_pixels(words.corner)
    beside = max(overhang + corner, *map(_text_pixels, ("", *words.rows)))
    left = beside + 20 if corner or words.rows else beside + 16
    pictures_width = max(columns * pitch, round(FIGURE_DPI * NARROWEST_TITLE_INCHES) if words.title else 0)
    title = "\n".join(wrapped(words.title, pictures_width / FIGURE_DPI, TITLE_SIZE))
    title_height = TITLE_LINE_INCHES * _lines(title) + (0.05 if title else 0)
    head_lines = max(map(_lines, (*words.columns, words.corner)))
    top = round(FIGURE_DPI * (LINE_INCHES * head_lines + title_height + 0.06))
    below = round(FIGURE_DPI * LINE_INCHES * max(map(_lines, ("", *captions)))) + GAP_PIXELS
    width = left + pictures_width + GAP_PIXELS
    height = top + rows * (cell_height + below) + GAP_PIXELS
    return _Page(width, height, left, top, cell_width, cell_height, pitch, overhang, below, title)


def _text_pixels(text: str) -> int:
    """Width of the longest line in pixels of the PNG."""
    return math.ceil(FIGURE_DPI * text_inches(text, FONT_SIZE))


def _lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0
