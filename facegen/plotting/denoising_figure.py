"""From noise to faces, step by step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from facegen.plotting.image_table import image_table
from facegen.plotting.style import Plot


def denoising_plot(
    x_t: np.ndarray, x0: np.ndarray, table: pd.DataFrame, seeds: Sequence[int], title: str = ""
) -> Plot:
    """Two rows a seed: the state `x_t` and the face predicted from it, `x0`, a column a step.

    Both are uint8 (seeds, columns, H, W, 3); `table` has a row a column with `step` and `noise_level`, the
    t/T in [0, 1] at which x_t stands.
    """
    rows = np.stack([x_t, x0], axis=1)
    return Plot(
        image_table(
            rows.reshape(-1, *rows.shape[2:]),
            row_labels=[f"seed {seed}\n{what}" for seed in seeds for what in ("x_t", "predicted x0")],
            column_labels=[
                f"step {step}\nt/T {level:.2f}"
                for step, level in zip(table["step"], table["noise_level"], strict=True)
            ],
            title=title,
        ),
        table,
    )
