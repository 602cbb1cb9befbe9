"""What a plotting workflow put into its figure."""

from __future__ import annotations

from typing import Any

import numpy as np


class Drawn:
    """Stands between a workflow and `save_plot`, and keeps the plot that goes through."""

    def __init__(self, module, monkeypatch):
        self.plot: Any = None
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
