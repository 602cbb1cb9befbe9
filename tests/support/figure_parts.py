"""What a plotting workflow put into its figure, its table and its animation."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from PIL import Image, ImageSequence

from facegen.plotting.saving import PlotSummary
from facegen.plotting.style import Plot


class Drawn:
    """Stands between a workflow and `save_plot`, and keeps the plot that goes through."""

    plot: Plot

    def __init__(self, module, monkeypatch):
        save = module.save_plot

        def keep(plot, *args, **kwargs):
            self.plot = plot
            return save(plot, *args, **kwargs)

        monkeypatch.setattr(module, "save_plot", keep)

    @property
    def faces(self):
        """Every picture of the figure, (N, H, W, 3), row by row."""
        return np.stack([np.asarray(axes.images[0].get_array()) for axes in self.plot.figure.axes])

    @property
    def texts(self):
        return [text.get_text() for text in self.plot.figure.texts]


def numbers_of(summary: PlotSummary) -> Any:
    """The CSV beside a figure, as a data frame."""
    assert summary.csv is not None
    return pd.read_csv(summary.csv)


def frames_of(animation: Path | IO[bytes]) -> tuple[np.ndarray, list[int]]:
    """Frames (F, H, W, 3) and milliseconds of an animation, as Pillow reads it."""
    with Image.open(animation) as image:
        frames, durations = [], []
        for frame in ImageSequence.Iterator(image):
            frames.append(np.asarray(frame.convert("RGB")))
            durations.append(frame.info["duration"])
        return np.stack(frames), durations
