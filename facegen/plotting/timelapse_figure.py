"""The same faces at several steps of training: as a figure, or as the frames of an animation."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd

from facegen.plotting.image_table import image_table
from facegen.plotting.style import Plot, figure_bytes


def timelapse_plot(
    images: np.ndarray, steps: Sequence[int], labels: Sequence[str], title: str = "", first: str = ""
) -> Plot:
    """A row a face, a column a step: uint8 (faces, steps, H, W, 3).

    With `first`, such as "original", there is one column more than steps, and it comes first.
    """
    columns = [f"step\n{step:,}" for step in steps]
    figure = image_table(
        images, row_labels=labels, column_labels=[first, *columns] if first else columns, title=title
    )
    return Plot(figure, pd.DataFrame({"column": range(len(steps)), "step": list(steps)}))


def timelapse_frames(images: np.ndarray, steps: Sequence[int], title: str = "") -> np.ndarray:
    """Frames (F, H, W, 3), one a step, each a grid of the faces (faces, steps, H, W, 3) under its step."""
    faces = len(images)
    columns = int(np.ceil(faces**0.5))
    rows = -(-faces // columns)
    frames = []
    for number, step in enumerate(steps):
        page = np.zeros((rows * columns, *images.shape[2:]), np.uint8)
        page[:faces] = images[:, number]
        figure = image_table(
            page.reshape(rows, columns, *images.shape[2:]), title=f"{title}\nstep {step:,}".strip()
        )
        frames.append(_pixels(figure_bytes(figure, ".png")))
    return np.stack(frames)


def _pixels(png: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))
