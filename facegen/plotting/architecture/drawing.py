"""A network on one page: boxes with output shapes and parameters, and what flows between them.

What makes the condition stands left; then the way down and, beside what has the same resolution, the way up;
then judges of the output. A letter joins what stands too far apart for a line. All lengths are inches.
"""

from __future__ import annotations

from collections import Counter
from difflib import SequenceMatcher
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.transforms import Bbox

from facegen.plotting.architecture.diagram import (
    ASIDE,
    CONDITION,
    DOWN,
    PARTS,
    UP,
    Box,
    Diagram,
    Group,
    shape_text,
)
from facegen.plotting.style import COLOURS, MUTED, Plot, in_style, new_figure, text_inches, wrapped

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

HEADING, TITLE, SMALL = 11.0, 7.0, 6.0  # points
LINE, PAD, GAP, BADGE = 0.115, 0.07, 0.15, 0.16  # of text; within boxes; between boxes; of a letter
PANEL, CAPTION = 0.1, 0.12  # around what has one resolution, and over it
COLUMN_GAP, MARGIN, SMALLEST_BOX, SMALLEST_PAGE = 0.7, 0.15, 1.35, 4.7
KINDS = ("input", "convolution", "attention", "linear", "conditioning", "embedding", "resampling", "other")
KIND_COLOURS: dict[str, str] = dict(zip(KINDS, (MUTED, *COLOURS), strict=True))
LETTERS = ("#7b4f9d", "#a33d00", "#00664b", "#8c6d1f", "#b0307a", "#004b75")  # their colours, in turn
NOTE = (
    "Left the shape of an output without the batch, right the parameters (of all repeats). A letter right of "
    "a box is what it gives, left of it what enters and by what function. Boxes in a dashed frame take turns."
)


def architecture_plot(diagram: Diagram, title: str, subtitle: str = "") -> Plot:
    """The diagram as a figure as large as its text needs, and its table."""
    places = _places(diagram)
    right, bottom = (max(getattr(place, side) for place in places.values()) for side in ("x1", "y1"))
    width = max(right + PANEL + BADGE, _text_width(title, HEADING), SMALLEST_PAGE)
    left = (right + PANEL - width) / 2  # a narrow network stands in the middle
    unparted = subtitle.replace(" × ", "\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}")  # a size stays in one line
    lines = wrapped(unparted, width, TITLE)
    top = -0.4 - (LINE + 0.02) * len(lines)
    figure = new_figure(1, 1)
    figure.set_layout_engine("none")
    with in_style():
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        _write(axes, left, top, title, HEADING, weight="bold")
        for number, line in enumerate(lines):
            _write(axes, left, top + 0.22 + (LINE + 0.02) * number, line, TITLE, color="#444444")
        panels = _draw_groups(axes, diagram, places)
        _draw_flows(axes, diagram, places, panels)
        _draw_links(axes, diagram, places)
        end = _draw_legend(axes, diagram, left, left + width, bottom + 0.42)
        axes.set_xlim(left - MARGIN, left + width + MARGIN)
        axes.set_ylim(end + MARGIN, top - MARGIN)
        figure.set_size_inches(width + 2 * MARGIN, end - top + 2 * MARGIN)
    return Plot(figure, architecture_table(diagram))


def architecture_table(diagram: Diagram) -> pd.DataFrame:
    """Columns `name`, `kind`, `output_shape`, `parameters`; a row a box, or a part of one at depth 3."""
    import pandas as pd

    rows = []
    for box in diagram.boxes:
        name = ", ".join(filter(None, (box.name, box.note)))
        for part in box.parts if box.parts and diagram.depth == PARTS else (box,):
            words = name if part is box else f"{name}: {part.name}"
            rows.append((words, box.kind, shape_text(part.shape), part.parameters))
    return pd.DataFrame(rows, columns=["name", "kind", "output_shape", "parameters"])


def _places(diagram: Diagram) -> dict[str, Bbox]:
    """Where every box stands; y grows downwards."""
    left, columns = 0.0, {}
    for name, groups in diagram.columns.items():
        widths = [_width(box) for group in groups for box in group.boxes]
        if widths:
            columns[name] = left + PANEL + _indent(diagram, name), max(SMALLEST_BOX, *widths)
            left = sum(columns[name]) + COLUMN_GAP
    places: dict[str, Bbox] = {}
    for rows in _tables(diagram):
        y = 0.0
        for row in rows:
            height = max(map(_group_height, row.values()))
            for name, group in row.items():
                at = y + (PANEL + CAPTION) * bool(group.title)
                at += height - _group_height(group) if name == UP else 0
                for box in group.boxes[::-1] if name == UP else group.boxes:
                    places[box.key] = Bbox.from_bounds(columns[name][0], at, columns[name][1], _height(box))
                    at += _height(box) + GAP
            y += height + GAP
    return places


def _indent(diagram: Diagram, column: str) -> float:
    """Room for the letters left of a column's boxes."""
    taken = Counter(target for link in diagram.links for target in link.targets)
    return BADGE * max(
        (taken[box.key] for group in diagram.columns[column] for box in group.boxes), default=0
    )


def _tables(diagram: Diagram) -> list[list[dict[str, Group]]]:
    """Rows of groups by column. The ways down and up have what has one resolution in one row."""
    down, up = diagram.columns[DOWN], diagram.columns[UP][::-1]
    keys = [[(group.title, group.boxes[0].kind == "input") for group in groups] for groups in (down, up)]
    rows: list[dict[str, Group]] = []
    for same, a, b, c, d in SequenceMatcher(None, keys[0], keys[1]).get_opcodes():
        if same == "equal":
            rows += ({DOWN: one, UP: other} for one, other in zip(down[a:b], up[c:d], strict=True))
        else:
            rows += [*({DOWN: group} for group in down[a:b]), *({UP: group} for group in up[c:d])]
    alone = [[{name: group} for group in diagram.columns[name]] for name in (CONDITION, ASIDE)]
    return [rows, *alone]


def _lines(box: Box) -> list[tuple[str, str, str]]:
    """What stands under a box's name: left, before the numbers, and the numbers."""
    note = [(box.note, "", "")] if box.note else []
    number = "" if box.kind == "input" else f"{box.parameters:,}"
    told = [(part.name, shape_text(part.shape), f"{part.parameters:,}") for part in box.parts]
    return [*note, (shape_text(box.shape), "", number), *told]


def _height(box: Box) -> float:
    return LINE * (1 + len(_lines(box))) + PAD


def _group_height(group: Group) -> float:
    inside = sum(_height(box) + GAP for box in group.boxes) - GAP
    return inside + (2 * PANEL + CAPTION) * bool(group.title)


def _width(box: Box) -> float:
    lines = [[_text_width(words, SMALL) for words in line] for line in _lines(box)]
    rest = max(left + middle for left, middle, _ in lines) + max(number for *_, number in lines) + 0.25
    return max(_text_width(box.name, TITLE), rest) + 2 * PAD


@lru_cache(maxsize=4096)
def _text_width(text: str, points: float) -> float:
    """Width of a line of text, with a little to spare; all but small text is bold."""
    return text_inches(text, points, bold=points != SMALL) * 1.02 + 0.02 if text.strip() else 0.0


def _draw_groups(axes: Axes, diagram: Diagram, places: dict[str, Bbox]) -> dict[str, Bbox]:
    """Draw boxes, panels and frames; returns the panel of every box, or itself where it has none."""
    panels = dict(places)
    for name, groups in diagram.columns.items():
        for group in groups:
            if group.title:
                inside = Bbox.union([places[box.key] for box in group.boxes])
                x, y = inside.x0 - PANEL - _indent(diagram, name), inside.y0 - PANEL - CAPTION
                panel = Bbox.from_extents(x, y, inside.x1 + PANEL, inside.y1 + PANEL)
                panels |= dict.fromkeys((box.key for box in group.boxes), panel)
                _rounded(axes, panel, facecolor="#f3f4f6", edgecolor="none", zorder=0)
                _write(axes, x + 0.05, y + 0.04, group.title, SMALL, color="#666666")
            for run in group.runs:
                if len(run) > 1:
                    frame = Bbox.union([places[box.key] for box in run]).padded(0.05)
                    _rounded(axes, frame, facecolor="none", edgecolor="#777777", lw=0.7, ls=(0, (3, 2)))
                for box in run:
                    _draw_box(axes, box, places[box.key])
    return panels


def _draw_box(axes: Axes, box: Box, place: Bbox) -> None:
    patch = _rounded(axes, place, **_look(box.kind), lw=1.0, zorder=4)
    patch.set_label(f"box {box.key}")
    left, right, y = place.x0 + PAD, place.x1 - PAD, place.y0 + PAD * 0.6
    _write(axes, left, y, box.name, TITLE, weight="bold", key=box.key)
    numbers = max(_text_width(number, SMALL) for *_, number in _lines(box))
    for words, shape, number in _lines(box):
        y += LINE
        _write(axes, left, y, words, SMALL, key=box.key)
        _write(axes, right - numbers - 0.1, y, shape, SMALL, ha="right", color="#666666", key=box.key)
        _write(axes, right, y, number, SMALL, ha="right", key=box.key)


def _draw_flows(axes: Axes, diagram: Diagram, places: dict[str, Bbox], panels: dict[str, Bbox]) -> None:
    """Arrows to the next box, to the way up by a line below both ways, and skips to the way up."""
    for a, b in sorted(diagram.flows):
        start, end = places[a], places[b]
        x, to = (start.x0 + start.x1) / 2, (end.x0 + end.x1) / 2
        if x != to:
            turn = PANEL + 0.12 + max(place.y1 for place in places.values() if place.x0 in (start.x0, end.x0))
            axes.plot([x, x, to], [start.y1, turn, turn], color="#333333", lw=0.9, zorder=2)
            _arrow(axes, (to, turn), (to, end.y1))
        else:
            downwards = start.y0 < end.y0
            _arrow(axes, (x, start.y1 if downwards else start.y0), (x, end.y0 if downwards else end.y1))
    joined: Counter[tuple[Bbox, Bbox]] = Counter()
    for (a, b), number in diagram.skips.items():
        joined[panels[a], panels[b]] += number
    for (a, b), number in joined.items():
        low, high = max(a.y0, b.y0), min(a.y1, b.y1)
        start, end = [(low + high) / 2] * 2 if low < high else [(a.y0 + a.y1) / 2, (b.y0 + b.y1) / 2]
        _arrow(axes, (a.x1, start), (b.x0, end), ls=(0, (4, 2)))
        words = "skip" if number == 1 else f"{number} skips"
        _write(axes, (a.x1 + b.x0) / 2, (start + end) / 2 - 0.03, words, SMALL, ha="center", va="bottom")


def _draw_links(axes: Axes, diagram: Diagram, places: dict[str, Bbox]) -> None:
    """Letters right of what gives and left of what takes."""
    used: Counter[tuple[str, int]] = Counter()
    for number, link in enumerate(diagram.links):
        for keys, side in ((link.sources, 1), (link.targets, -1)):
            for key in keys:
                edge = places[key].x1 if side > 0 else places[key].x0
                x = edge + side * BADGE * (used[key, side] + 0.5)
                _badge(axes, x, (places[key].y0 + places[key].y1) / 2, number)
                used[key, side] += 1


def _draw_legend(axes: Axes, diagram: Diagram, left: float, right: float, y: float) -> float:
    """Kinds and letters, as many in a line as there is room; returns where it ends."""
    kinds = {box.kind for box in diagram.boxes}
    shown = [kind for kind in KINDS if kind in kinds]
    entries: list[tuple[str, Any]] = [("input, output" if kind == "input" else kind, kind) for kind in shown]
    entries += [(link.words, number) for number, link in enumerate(diagram.links)]
    x = left
    for words, look in entries:
        needed = _text_width(words, SMALL) + 0.44
        if x > left and x + needed > right:
            x, y = left, y + 0.17
        if isinstance(look, str):
            _rounded(axes, Bbox.from_bounds(x, y, 0.2, 0.1), **_look(look), lw=0.9)
        else:
            _badge(axes, x + 0.12, y + 0.05, look)
        _write(axes, x + 0.26, y + 0.005, words, SMALL)
        x += needed
    for line in wrapped(NOTE, right - left, SMALL):
        y += LINE
        _write(axes, left, y + 0.08, line, SMALL, color="#666666")
    return y + LINE + 0.08


def _badge(axes: Axes, x: float, y: float, number: int) -> None:
    colour = LETTERS[number % len(LETTERS)]
    circle = {"boxstyle": "circle,pad=0.2", "edgecolor": "none", "facecolor": colour}
    letter = chr(ord("a") + number) if number < 26 else str(number)
    style: dict[str, Any] = {"ha": "center", "va": "center_baseline", "color": "white", "bbox": circle}
    _write(axes, x, y, letter, 5.5, **style)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], ls: Any = "-") -> None:
    head = "-|>,head_length=3,head_width=1.5"
    look = {"color": "#333333", "lw": 0.9, "ls": ls, "zorder": 2, "mutation_scale": 1}
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle=head, shrinkA=0, shrinkB=0, **look))


def _rounded(axes: Axes, place: Bbox, **look: Any) -> Any:
    style = "round,pad=0,rounding_size=0.035"
    return axes.add_patch(FancyBboxPatch(place.min, place.width, place.height, style, **look))


def _look(kind: str) -> dict[str, Any]:
    colour, tint = KIND_COLOURS[kind], 0 if kind == "input" else 0.18
    return {"edgecolor": colour, "facecolor": [1 - tint + tint * part for part in to_rgb(colour)]}


def _write(axes: Axes, x: float, y: float, words: str, points: float, *, key: str = "", **look: Any) -> None:
    text = axes.text(x, y, words, **{"fontsize": points, "va": "top", "zorder": 6, **look})
    text.set_label(key)
