"""Labelled grids of faces: a row, or several, for each request."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from facegen.plotting.image_table import image_table
from facegen.plotting.style import Plot

MOST_COLUMNS = 9


@dataclass(frozen=True)
class SampleRow:
    """Faces of one request: uint8 (N, H, W, 3), what stands before them, and a caption for each."""

    label: str
    images: np.ndarray
    captions: tuple[str, ...]


def samples_plot(rows: Sequence[SampleRow], title: str = "") -> Plot:
    """A grid with a row for each request, of at most 9 faces to the line.

    Captions that are the same in all rows stand above the columns. The table has `row`, `request` and
    `caption` of every face.

    Raises:
        ValueError: no rows, or faces of different sizes.
    """
    lines = [line for row in rows for line in _lines(row)]
    if not lines:
        raise ValueError("no faces to show")
    columns = max(len(line.images) for line in lines)
    images = np.zeros((len(lines), columns, *lines[0].images.shape[1:]), np.uint8)
    for number, line in enumerate(lines):
        images[number, : len(line.images)] = line.images
    captions = [[*line.captions, *[""] * (columns - len(line.captions))] for line in lines]
    alike = all(each == captions[0] for each in captions)
    labels = [line.label for line in lines]
    figure = image_table(
        images,
        row_labels=labels if any(labels) else (),
        column_labels=captions[0] if alike else (),
        captions=() if alike else captions,
        title=title,
    )
    told = [
        {"row": number, "request": " ".join(row.label.split()), "caption": caption}
        for number, row in enumerate(rows)
        for caption in row.captions
    ]
    return Plot(figure, pd.DataFrame(told))


def _lines(row: SampleRow) -> list[SampleRow]:
    """The row in as many lines as it needs, which are about equally long."""
    count = len(row.images)
    columns = math.ceil(count / math.ceil(count / MOST_COLUMNS))
    parts = [slice(start, start + columns) for start in range(0, count, columns)]
    return [
        SampleRow("" if part.start else row.label, row.images[part], row.captions[part]) for part in parts
    ]
