"""The control matrix as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL_INCHES, MARGIN_INCHES = 0.36, 2.6
DARK = 0.55  # below this share of the colour scale, numbers are white


def control_heat_map(rows: Sequence[Mapping[str, Any]], answers: Sequence[str], title: str) -> Figure:
    """The rows of `control_matrix`, columns in the order of `answers`.

    A cell is the share of pairs in which the answer changed; on the outlined diagonal, from no to yes as
    asked. Crossed out are answers that the request itself had to give up. Columns of toggled attributes come
    first, so that the diagonal is one.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("a heat map needs at least one row")
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    toggled = [row["attribute"] for row in rows]
    columns = [*toggled, *(name for name in answers if name not in toggled)]
    shares = np.array([[_share(row, name) for name in columns] for row in rows])
    height, width = shares.shape
    inches = (width * CELL_INCHES + MARGIN_INCHES + 0.8, height * CELL_INCHES + MARGIN_INCHES)
    figure = Figure(figsize=inches, dpi=130, layout="constrained")
    axes = figure.subplots()
    # even in lightness and the same to the colour-blind (Nuñez et al. 2018)
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    for row, column in np.ndindex(height, width):
        share = shares[row, column]
        if np.isnan(share):
            axes.text(column, row, "×", ha="center", va="center", color="#8d99ae", fontsize=9)
        elif share > 0:  # nothing changed is dark enough, and the rest is found sooner
            colour = "white" if share < DARK else "black"
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=7)
    for index in range(height):
        axes.add_patch(Rectangle((index - 0.5, index - 0.5), 1, 1, fill=False, ec="#d1495b", lw=1.6))
    words = [name.replace("_", " ") for name in columns]
    axes.set_xticks(range(width), words, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(height), words[:height], fontsize=8)
    axes.set_xlabel("answer that changed (outlined: as asked; else leakage)")
    axes.set_ylabel("toggled from no to yes")
    axes.set_title(title, fontsize=9, loc="left")
    bar = axes.inset_axes((1 + 0.5 / width, 0, 0.5 / width, 1))  # as high as the cells are
    figure.colorbar(image, cax=bar).set_label("share of pairs", fontsize=8)
    return figure


def _share(row: Mapping[str, Any], name: str) -> float:
    if name == row["attribute"]:
        return row["hit"]["share"]
    cell = row["leakage"][name]
    return float("nan") if cell is None else cell["share"]
