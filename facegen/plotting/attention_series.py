"""From recorded maps to rows of pictures: attention of a place and to a word.

Letters: S frames, T cells of a layer's map, h/w rows and columns of cells.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from facegen.plotting.attention_figure import Heat
from facegen.plotting.attention_walk import Walk

NAME_LETTERS = 24
NamedTokens = tuple[str, tuple[int, ...]]  # a word and the numbers of its tokens


@dataclass(frozen=True)
class Series:
    """Shares of attention, `maps` (S, h, w), in one layer; `of` says whose or to what.

    `mark` is the cell (row, column) that looks, whose shares sum to 1; without it shares are those of a word.
    """

    layer: str
    of: str
    maps: np.ndarray
    mark: tuple[int, int] | None = None

    def heats(self) -> list[Heat]:
        """A picture for every frame."""
        return [Heat(values, self._caption(values), self.mark) for values in self.maps]

    def mean_heat(self) -> Heat:
        """One picture of all frames."""
        values = self.maps.mean(0)
        return Heat(values, self._caption(values), self.mark)

    def _caption(self, values: np.ndarray) -> str:
        most = f"most {_percent(values.max())}"
        return most if self.mark else f"mean {_percent(values.mean())}\n{most}"


def cell_series(walk: Walk, places: Sequence[tuple[float, float]]) -> list[Series]:
    """For each layer where the cells at `places`, (x, y) in [0, 1], look."""
    series = []
    for layer in walk.layers:
        rows, columns = walk.cells[layer]
        maps = np.stack([frame.maps[layer] for frame in walk.frames])  # (S, T, T)
        for x, y in places:
            row, column = min(int(y * rows), rows - 1), min(int(x * columns), columns - 1)
            seen = maps[:, row * columns + column].reshape(len(maps), rows, columns)
            series.append(Series(layer, f"from {x:g}, {y:g}", seen, (row, column)))
    return series


def word_series(walk: Walk, words: Sequence[NamedTokens]) -> list[Series]:
    """For each layer and word the share of every cell's attention that the word's tokens get together."""
    series = []
    for layer in walk.layers:
        maps = np.stack([frame.maps[layer] for frame in walk.frames])  # (S, T, L)
        for text, numbers in words:
            shares = maps[:, :, list(numbers)].sum(2).reshape(len(maps), *walk.cells[layer])
            series.append(Series(layer, text, shares))
    return series


def words_to_show(
    walk: Walk, words: Sequence[NamedTokens], asked: Sequence[str], most: int
) -> list[NamedTokens]:
    """At most `most` words in their order: those `asked` for, then those that get the most attention."""

    def rank(word: NamedTokens) -> tuple[bool, float]:
        maps = (frame.maps[layer] for frame in walk.frames for layer in walk.layers)
        return word[0] not in asked, -sum(float(each[:, list(word[1])].sum(1).mean()) for each in maps)

    chosen = sorted(words, key=rank)[:most]
    return [word for word in words if word in chosen]


def table_of(walk: Walk, series: Sequence[Series]) -> pd.DataFrame:
    """A row for each layer, thing, frame and cell: `share` of attention; `x`, `y` the cell's middle."""
    parts = []
    for each in series:
        rows, columns = walk.cells[each.layer]
        y, x = np.meshgrid(
            (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij"
        )
        for frame, values in zip(walk.frames, each.maps, strict=True):
            parts.append(
                pd.DataFrame(
                    {
                        "layer": each.layer,
                        "of": each.of,
                        "step": frame.step + 1,
                        "noise_level": frame.noise_level,
                        "x": x.ravel(),
                        "y": y.ravel(),
                        "share": values.ravel(),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def layer_label(walk: Walk, layer: str) -> str:
    """The layer's name in short lines, and how many cells it has."""
    rows, columns = walk.cells[layer]
    name = textwrap.wrap(layer.replace(".", ". "), NAME_LETTERS, break_long_words=False)
    return "\n".join([*(line.replace(". ", ".") for line in name), f"{rows}x{columns} cells"])


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"
