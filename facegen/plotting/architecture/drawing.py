"""A network on one page: boxes with output shapes and parameters, and where a condition enters."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

from facegen.plotting.architecture.arrows import draw_arrows
from facegen.plotting.architecture.diagram import Box, Diagram, Part, Role, shape_text
from facegen.plotting.architecture.layout import (
    MARGIN,
    NUMBER_LINE,
    NUMBER_SIZE,
    PAD,
    PART_GAP,
    PART_LINE,
    PART_SIZE,
    SHEET,
    TITLE_LINE,
    TITLE_SIZE,
    Layout,
    Rect,
    lay_out,
    text_width,
)
from facegen.plotting.style import COLOURS, MUTED, Plot, in_style, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

HEADING_SIZE, SUBTITLE_SIZE = 11.0, 7.0
SMALLEST_PAGE = 5.0
ROLES: dict[Role, tuple[str, str]] = {  # colour of the edge, and words of the legend
    "input": (MUTED, "input, output"),
    "convolution": (COLOURS[0], "convolution"),
    "resampling": (COLOURS[5], "change of resolution"),
    "attention": (COLOURS[1], "attention"),
    "linear": (COLOURS[2], "linear, MLP"),
    "embedding": (COLOURS[4], "embedding"),
    "conditioning": (COLOURS[3], "conditioning"),
    "other": ("#555555", "other"),
}
TINT = 0.18  # how much of its colour a box is filled with


def architecture_plot(diagram: Diagram, title: str, subtitle: str = "") -> Plot:
    """The diagram as a figure as large as its text needs, and a table with a row a box (or part of one)."""
    heading_width = text_width(title, HEADING_SIZE, "bold")
    diagram = min((diagram.in_part_columns(number) for number in (1, 2)), key=_sheets)
    probe = lay_out(diagram, 0.0)
    room = max(probe.right, heading_width, SMALLEST_PAGE)
    lines = _wrapped(subtitle, room - MARGIN)
    top = MARGIN + 0.24 + 0.13 * len(lines) + 0.1
    layout = lay_out(diagram, top, (room - probe.right) / 2)
    figure = new_figure(1, 1)
    figure.set_layout_engine("none")
    with in_style():
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        _draw_panels(axes, layout)
        right, bottom = draw_arrows(axes, diagram, layout)
        for box in diagram.boxes():
            _draw_box(axes, box, layout.boxes[box.key])
        width = max(right, heading_width + MARGIN, SMALLEST_PAGE) + MARGIN
        height = _draw_legend(axes, diagram, width, max(bottom, layout.bottom) + 0.3)
        _write(axes, MARGIN, MARGIN, title, HEADING_SIZE, weight="bold")
        for number, line in enumerate(lines):
            _write(axes, MARGIN, MARGIN + 0.24 + 0.13 * number, line, SUBTITLE_SIZE, color="#444444")
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        figure.set_size_inches(width, height)
    return Plot(figure, architecture_table(diagram))


def _wrapped(text: str, room: float) -> list[str]:
    """The text in lines of at most `room` inches; a size such as 64 × 64 stays in one."""
    whole = text.replace(" × ", "\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}")
    for letters in range(len(whole), 20, -1):
        lines = textwrap.wrap(whole, letters)
        if max(text_width(line, SUBTITLE_SIZE) for line in lines) <= room:
            return lines
    return textwrap.wrap(whole, 20)


def _sheets(diagram: Diagram) -> float:
    """How much a sheet of paper, upright, has to be enlarged for the diagram."""
    layout = lay_out(diagram, 0.0)
    return max(layout.right, layout.bottom / 2**0.5)


def architecture_table(diagram: Diagram) -> pd.DataFrame:
    """Columns `name`, `kind`, `output_shape`, `parameters`; `parameters` sum to the module's."""
    import pandas as pd

    rows = [
        (
            f"{box.title}: {part.name}" if box.parts else part.name,
            box.role,
            shape_text(part.shape),
            part.parameters,
        )
        for box in diagram.boxes()
        for part in box.parts or (Part(box.title, box.shape, box.parameters),)
    ]
    return pd.DataFrame(rows, columns=["name", "kind", "output_shape", "parameters"])


def _draw_panels(axes: Axes, layout: Layout) -> None:
    for outline, caption in layout.panels.values():
        _rounded(axes, outline, facecolor="#f3f4f6", edgecolor="none", zorder=0)
        _write(axes, outline.x + 0.06, outline.y + 0.05, caption, PART_SIZE, color="#666666")
    for frame in layout.frames:
        _rounded(axes, frame, facecolor="none", edgecolor="#777777", lw=0.7, ls=(0, (3, 2)), zorder=1)


def _draw_box(axes: Axes, box: Box, rect: Rect) -> None:
    colour = ROLES[box.role][0]
    fill = "white" if box.role == "input" else _tinted(colour)
    if box.repeats > 1:  # a second sheet looks out behind
        behind = Rect(rect.x + SHEET, rect.y + SHEET, rect.width, rect.height)
        _rounded(axes, behind, facecolor=fill, edgecolor=colour, lw=0.7, zorder=3)
    patch = _rounded(axes, rect, facecolor=fill, edgecolor=colour, lw=1.0, zorder=4)
    patch.set_label(f"box {box.key}")
    left, right, y = rect.x + PAD, rect.right - PAD, rect.y + PAD * 0.6
    _write(axes, left, y, box.title, TITLE_SIZE, weight="bold", key=box.key)
    y += TITLE_LINE
    for words in box.contents:
        _write(axes, left, y, words, PART_SIZE, color="#444444", key=box.key)
        y += PART_LINE
    _write(axes, left, y, shape_text(box.shape), NUMBER_SIZE, key=box.key)
    if box.role != "input":
        _write(axes, right, y, f"{box.parameters:,}", NUMBER_SIZE, ha="right", key=box.key)
    _draw_parts(axes, box, rect, y + NUMBER_LINE + 0.02)


def _draw_parts(axes: Axes, box: Box, rect: Rect, top: float) -> None:
    columns = box.part_columns
    lines = math.ceil(len(box.parts) / columns)
    width = (rect.width - 2 * PAD - PART_GAP * (columns - 1)) / columns
    numbers = max((text_width(f"{part.parameters:,}", PART_SIZE) for part in box.parts), default=0)
    for number, part in enumerate(box.parts):
        left = rect.x + PAD + number // lines * (width + PART_GAP)
        y = top + PART_LINE * (number % lines)
        right = left + width
        shape = shape_text(part.shape)
        _write(axes, left, y, part.name, PART_SIZE, color="#333333", key=box.key)
        _write(axes, right - numbers - 0.1, y, shape, PART_SIZE, ha="right", color="#666666", key=box.key)
        _write(axes, right, y, f"{part.parameters:,}", PART_SIZE, ha="right", color="#333333", key=box.key)


def _draw_legend(axes: Axes, diagram: Diagram, width: float, top: float) -> float:
    """Roles and ways of a condition, as many in a line as there is room; returns the height of the page."""
    from matplotlib.lines import Line2D

    from facegen.plotting.architecture.arrows import signal_style

    roles = {box.role for box in diagram.boxes()}
    x, y = MARGIN, top
    entries: list[tuple[str, Any]] = [
        (words, colour) for role, (colour, words) in ROLES.items() if role in roles
    ]
    entries += [(signal.name, signal_style(diagram, signal)) for signal in diagram.signals]
    for words, look in entries:
        needed = 0.3 + text_width(words, NUMBER_SIZE) + 0.2
        if x > MARGIN and x + needed > width:
            x, y = MARGIN, y + 0.16
        if isinstance(look, str):
            fill = "white" if look == MUTED else _tinted(look)
            _rounded(axes, Rect(x, y, 0.2, 0.1), facecolor=fill, edgecolor=look, lw=0.9, zorder=4)
        else:
            axes.add_line(Line2D([x, x + 0.22], [y + 0.05, y + 0.05], **look))
        _write(axes, x + 0.28, y - 0.005, words, NUMBER_SIZE)
        x += needed
    y += 0.2
    note = "Left the shape of an output without the batch, right the parameters (of all repeats)."
    if any(len(run) > 1 for group in diagram.groups() for run in group.runs):
        note += " Boxes in a dashed frame take turns."
    for line in textwrap.wrap(note, int(width / 0.05)):
        _write(axes, MARGIN, y, line, PART_SIZE, color="#666666")
        y += 0.11
    return y + MARGIN * 0.6


def _rounded(axes: Axes, rect: Rect, **style: Any) -> Any:
    from matplotlib.patches import FancyBboxPatch

    patch = FancyBboxPatch(
        (rect.x, rect.y),
        rect.width,
        rect.height,
        boxstyle="round,pad=0,rounding_size=0.035",
        **style,
    )
    axes.add_patch(patch)
    return patch


def _write(axes: Axes, x: float, y: float, words: str, points: float, *, key: str = "", **style: Any) -> None:
    text = axes.text(x, y, words, fontsize=points, va="top", zorder=6, **style)
    text.set_label(key)


def _tinted(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    red, green, blue = (1 - TINT + TINT * part for part in to_rgb(colour))
    return red, green, blue
