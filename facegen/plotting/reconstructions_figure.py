"""What an autoencoder keeps and loses: pictures, what it makes of them, and where they differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from facegen.plotting.image_table import image_table
from facegen.plotting.style import Plot


def reconstructions_plot(
    originals: np.ndarray,
    reconstructed: np.ndarray,
    psnr: Sequence[float],
    names: Sequence[str],
    *,
    amplified: float,
    title: str = "",
) -> Plot:
    """Three rows: originals, reconstructions and their absolute difference times `amplified`, over its mean.

    Pictures are uint8 (N, H, W, 3), `psnr` their dB.
    """
    difference = np.abs(originals.astype(np.int16) - reconstructed)
    mean = difference.mean(axis=(1, 2, 3))
    shown = np.minimum(difference * amplified, 255).astype(np.uint8)
    figure = image_table(
        np.stack([originals, reconstructed, shown]),
        row_labels=["original", "reconstruction", f"difference\n× {amplified:g}"],
        captions=[
            list(names),
            [f"{value:.1f} dB" for value in psnr],
            [f"{value:.1f}/255" for value in mean],
        ],
        title=title,
    )
    table = pd.DataFrame({"id": list(names), "psnr_db": list(psnr), "mean_difference": mean})
    return Plot(figure, table)
