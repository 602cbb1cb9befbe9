"""Strips from one face to another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from facegen.plotting.image_table import image_table
from facegen.plotting.style import Plot


def interpolation_plot(
    images: np.ndarray,
    positions: Sequence[float],
    row_labels: Sequence[str],
    *,
    first: str = "",
    last: str = "",
    photos: tuple[np.ndarray, np.ndarray] | None = None,
    title: str = "",
) -> Plot:
    """A row a walk: uint8 (rows, F, H, W, 3) at `positions` from 0 to 1, the names of the ends above it.

    `photos` (H, W, 3) each, which walks lead between, stand left and right of every row.
    """
    labels = [f"{100 * position:.0f} %" for position in positions]
    labels = [f"{first}\n{labels[0]}".strip(), *labels[1:-1], f"{last}\n{labels[-1]}".strip()]
    table = pd.DataFrame({"frame": range(len(positions)), "position": list(positions)})
    if photos is not None:
        left, right = (np.broadcast_to(photo, (len(images), 1, *photo.shape)) for photo in photos)
        images = np.concatenate([left, images, right], axis=1)
        labels = ["photo", *labels, "photo"]
    return Plot(image_table(images, row_labels=row_labels, column_labels=labels, title=title), table)
