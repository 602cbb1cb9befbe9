"""Strips from each part of a blend to their mix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from facegen.visuals.image_table import image_table
from facegen.visuals.style import Plot


def blend_plot(
    images: np.ndarray, weights: pd.DataFrame, labels: Sequence[str], seeds: Sequence[int], title: str = ""
) -> Plot:
    """A row a seed, a column a mix: uint8 (seeds, columns, H, W, 3); `labels`, `weights` by column."""
    figure = image_table(
        images, row_labels=[f"seed {seed}" for seed in seeds], column_labels=labels, title=title
    )
    return Plot(figure, weights)
