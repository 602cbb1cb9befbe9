"""Strips from each part of a blend to their mix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from facegen.plotting.image_table import image_table
from facegen.plotting.style import Plot


def blend_plot(images: np.ndarray, weights: pd.DataFrame, seeds: Sequence[int], title: str = "") -> Plot:
    """A row a seed, a column a mix: uint8 (seeds, columns, H, W, 3).

    `weights` in [0, 1] have a row for each column of pictures and a column for each part, by its name.
    """
    figure = image_table(
        images,
        row_labels=[f"seed {seed}" for seed in seeds],
        column_labels=["\n".join(map(_share, row)) for row in weights.to_numpy().tolist()],
        corner="\n".join(weights.columns),
        title=title,
    )
    return Plot(figure, weights)


def _share(weight: float) -> str:
    return f"{100 * weight:.0f} %" if weight else "–"
