"""The look that all figures share, and figures as bytes.

Colours can be told apart by the colour-blind: lines and classes after Okabe & Ito (2008), "Color Universal
Design", what is continuous in cividis (Nuñez et al. 2018, doi:10.1371/journal.pone.0199239).
"""

from __future__ import annotations

import io
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facegen.vocabulary.words import readable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MUTED = "#8d99ae"
FONT_FAMILY = "DejaVu Sans"  # matplotlib brings it along
COLOUR_MAP = "cividis"
FIGURE_DPI = 200
SUFFIXES = (".png", ".svg", ".pdf")
_RC: dict[str, Any] = {
    "font.family": [FONT_FAMILY],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.2,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "facegen",  # the same figure gives the same file
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Plot:
    """A figure, and the numbers behind it in one table."""

    figure: Figure
    table: pd.DataFrame


def new_figure(width_inches: float, height_inches: float, title: str = "") -> Figure:
    """An empty figure in the common style, to be filled by `figure.subplots()` within `in_style()`."""
    from matplotlib.figure import Figure

    with in_style():
        figure = Figure(figsize=(width_inches, height_inches), dpi=FIGURE_DPI)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def in_style() -> Any:
    """A context in which matplotlib draws in the common style: `with in_style(): figure.subplots()`."""
    import matplotlib
    from cycler import cycler

    settings: Any = {**_RC, "axes.prop_cycle": cycler(color=COLOURS)}
    return matplotlib.rc_context(settings)


def title_of(name: str) -> str:
    """A label's or number's name as words that begin with a capital."""
    words = readable(name)
    return words[:1].upper() + words[1:]


def text_inches(text: str, points: float, *, bold: bool = False) -> float:
    """Width of the longest line."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=[FONT_FAMILY], size=points, weight="bold" if bold else "normal")
    widths = (text_to_path.get_text_width_height_descent(line, font, False)[0] for line in text.splitlines())
    return max(widths, default=0.0) / 72


def wrapped(text: str, inches: float, points: float) -> list[str]:
    """Lines of at most `inches`, as far as words can be parted."""
    for letters in range(len(text), 1, -1):
        lines = [line for part in text.splitlines() for line in textwrap.wrap(part, letters)]
        if text_inches("\n".join(lines), points) <= inches:
            return lines
    return text.splitlines()


def figure_bytes(figure: Figure, suffix: str, dpi: int = FIGURE_DPI) -> bytes:
    """The figure as a file of `suffix` ".png", ".svg" or ".pdf", the same bytes each time.

    Raises:
        ValueError: another suffix.
    """
    if suffix not in SUFFIXES:
        raise ValueError(f"suffix must be one of {', '.join(SUFFIXES)}, not '{suffix}'")
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    stream = io.BytesIO()
    with in_style():
        figure.savefig(stream, format=suffix[1:], dpi=dpi, metadata=dates.get(suffix))
    return stream.getvalue()
