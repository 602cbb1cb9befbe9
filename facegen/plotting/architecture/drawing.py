"""A network on one page: boxes with output shapes and parameters, and what flows between them.

What makes the condition stands left; then the way down and, beside what has the same resolution, the way up;
then judges of the output. A letter joins what stands too far apart for a line. All lengths are inches.
"""

from __future__ import annotations

from collections import Counter
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
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
    figure = new_figure(1, 1)
    figure.set_layout_engine("none")
    with in_style():
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        page = _Page(axes, diagram)
        right, bottom = (max(getattr(box, side) for box in page.places.values()) for side in ("x1", "y1"))
        width = max(right + PANEL + BADGE, _text_width(title, HEADING), SMALLEST_PAGE)
        left = (right + PANEL - width) / 2  # a narrow network stands in the middle
        unparted = subtitle.replace(
            " × ", "\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}"
        )  # a size stays in one line
        lines = wrapped(unparted, width, TITLE)
        top = -0.4 - (LINE + 0.02) * len(lines)
        page.write(left, top, title, HEADING, weight="bold")
        page.write(left, top + 0.22, "\n".join(lines), TITLE, color="#444444")
        page.draw_flows()
        page.draw_links()
        end = page.draw_legend(left, left + width, bottom + 0.42)
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
        for part in box.parts if diagram.depth == PARTS and box.parts else (box,):
            words = name if part is box else f"{name}: {part.name}"
            rows.append((words, box.kind, shape_text(part.shape), part.parameters))
    return pd.DataFrame(rows, columns=["name", "kind", "output_shape", "parameters"])


class _Page:
    """Axes with the boxes on them, y growing downwards: `places` of boxes by key, `panels` they stand in."""

    def __init__(self, axes: Axes, diagram: Diagram) -> None:
        self._axes, self._diagram = axes, diagram
        self.places: dict[str, Bbox] = {}
        self._panels: dict[str, Bbox] = {}
        taken = Counter(target for link in diagram.links for target in link.targets)
        self._columns: dict[str, tuple[float, float, float]] = {}  # left, width, and room left for letters
        left = 0.0
        for name, groups in diagram.columns.items():
            if boxes := [box for group in groups for box in group.boxes]:
                letters = BADGE * max(taken[box.key] for box in boxes)
                width = max(SMALLEST_BOX, *map(_box_width, boxes))
                self._columns[name] = left + PANEL + letters, width, letters
                left += PANEL + letters + width + COLUMN_GAP
        ways, *alone = _tables(diagram)
        self._turn = self._draw_rows(ways)
        for rows in alone:
            self._draw_rows(rows)

    def _draw_rows(self, rows: list[dict[str, Group]]) -> float:
        """Groups below each other, those of a row side by side; returns where they end."""
        y = 0.0
        for row in rows:
            heights = {name: _group_height(group) for name, group in row.items()}
            for name, group in row.items():
                x, width, letters = self._columns[name]
                top = y + max(heights.values()) - heights[name] if name == UP else y
                panel = Bbox.from_bounds(x - PANEL - letters, top, width + 2 * PANEL + letters, heights[name])
                if group.title:
                    self._rounded(panel, facecolor="#f3f4f6", edgecolor="none", zorder=0)
                    self.write(panel.x0 + 0.05, top + 0.04, group.title, SMALL, color="#666666")
                    top += PANEL + CAPTION
                for box in group.boxes[::-1] if name == UP else group.boxes:
                    place = Bbox.from_bounds(x, top, width, _height(box))
                    self._draw_box(box, place)
                    self.places[box.key], self._panels[box.key] = place, panel if group.title else place
                    top = place.y1 + GAP
                for run in group.runs:
                    if len(run) > 1:
                        frame = Bbox.union([self.places[box.key] for box in run]).padded(0.05)
                        self._rounded(frame, facecolor="none", edgecolor="#777777", lw=0.7, ls=(0, (3, 2)))
            y += max(heights.values()) + GAP
        return y

    def _draw_box(self, box: Box, place: Bbox) -> None:
        self._rounded(place, **_look(box.kind), lw=1.0, zorder=4, label=f"box {box.key}")
        left, right, y = place.x0 + PAD, place.x1 - PAD, place.y0 + PAD * 0.6
        self.write(left, y, box.name, TITLE, weight="bold", label=box.key)
        numbers = max(_text_width(number, SMALL) for *_, number in _lines(box))
        for words, shape, number in _lines(box):
            y += LINE
            self.write(left, y, words, SMALL, label=box.key)
            self.write(right - numbers - 0.1, y, shape, SMALL, ha="right", color="#666666", label=box.key)
            self.write(right, y, number, SMALL, ha="right", label=box.key)

    def draw_flows(self) -> None:
        """Arrows to the next box, to the way up by a line below both ways, and skips to the way up."""
        for a, b in sorted(self._diagram.flows):
            start, end = self.places[a], self.places[b]
            x, to = (start.x0 + start.x1) / 2, (end.x0 + end.x1) / 2
            if x != to:
                self._arrow((x, start.y1), (x, self._turn), (to, self._turn), (to, end.y1))
            elif start.y0 < end.y0:
                self._arrow((x, start.y1), (x, end.y0))
            else:
                self._arrow((x, start.y0), (x, end.y1))
        joined: Counter[tuple[Bbox, Bbox]] = Counter()
        for (a, b), number in self._diagram.skips.items():
            joined[self._panels[a], self._panels[b]] += number
        for (a, b), number in joined.items():
            low, high = max(a.y0, b.y0), min(a.y1, b.y1)
            start, end = [(low + high) / 2] * 2 if low < high else [(a.y0 + a.y1) / 2, (b.y0 + b.y1) / 2]
            self._arrow((a.x1, start), (b.x0, end), ls=(0, (4, 2)))
            words = "skip" if number == 1 else f"{number} skips"
            self.write((a.x1 + b.x0) / 2, (start + end) / 2 - 0.03, words, SMALL, ha="center", va="bottom")

    def draw_links(self) -> None:
        """Letters right of what gives and left of what takes."""
        used: Counter[tuple[str, int]] = Counter()
        for number, link in enumerate(self._diagram.links):
            for key, side in [*((key, 1) for key in link.sources), *((key, -1) for key in link.targets)]:
                place = self.places[key]
                x = (place.x1 if side > 0 else place.x0) + side * BADGE * (used[key, side] + 0.5)
                self._badge(x, (place.y0 + place.y1) / 2, number)
                used[key, side] += 1

    def draw_legend(self, left: float, right: float, y: float) -> float:
        """Kinds and letters, as many in a line as there is room; returns where it ends."""
        kinds = {box.kind for box in self._diagram.boxes}
        entries: list[tuple[str, Any]] = [(kind, kind) for kind in KINDS if kind in kinds]
        entries += [(link.words, number) for number, link in enumerate(self._diagram.links)]
        x = left
        for words, look in entries:
            shown = "input, output" if words == "input" else words
            needed = _text_width(shown, SMALL) + 0.44
            if x > left and x + needed > right:
                x, y = left, y + 0.17
            if isinstance(look, str):
                self._rounded(Bbox.from_bounds(x, y, 0.2, 0.1), **_look(look), lw=0.9)
            else:
                self._badge(x + 0.12, y + 0.05, look)
            self.write(x + 0.26, y + 0.005, shown, SMALL)
            x += needed
        note = wrapped(NOTE, right - left, SMALL)
        self.write(left, y + LINE + 0.08, "\n".join(note), SMALL, color="#666666")
        return y + LINE * (len(note) + 1) + 0.08

    def _badge(self, x: float, y: float, number: int) -> None:
        circle = {"boxstyle": "circle,pad=0.2", "ec": "none", "fc": LETTERS[number % len(LETTERS)]}
        letter = chr(ord("a") + number) if number < 26 else str(number)
        self.write(x, y, letter, 5.5, ha="center", va="center_baseline", color="white", bbox=circle)

    def _arrow(self, *points: tuple[float, float], ls: Any = "-") -> None:
        style = "-|>,head_length=3,head_width=1.5"
        look = {"ec": "#333333", "lw": 0.9, "ls": ls, "zorder": 2, "mutation_scale": 1}
        self._axes.add_patch(FancyArrowPatch(path=Path(points), arrowstyle=style, fc="#333333", **look))

    def _rounded(self, place: Bbox, **look: Any) -> None:
        style = "round,pad=0,rounding_size=0.035"
        self._axes.add_patch(FancyBboxPatch(place.min, place.width, place.height, style, **look))

    def write(self, x: float, y: float, words: str, points: float, **look: Any) -> None:
        """Text whose upper left corner is (x, y), unless `look` has another."""
        self._axes.text(x, y, words, **{"fontsize": points, "va": "top", "zorder": 6, **look})


def _tables(diagram: Diagram) -> list[list[dict[str, Group]]]:
    """Rows of groups by column. The ways down and up have what has one resolution in one row."""
    ways = diagram.columns[DOWN], diagram.columns[UP][::-1]
    down, up = ([(group.title, group.boxes[0].kind == "input") for group in way] for way in ways)
    rows = [
        {name: group for name, group in zip((DOWN, UP), pair, strict=True) if group}
        for _, a, b, c, d in SequenceMatcher(None, down, up).get_opcodes()
        for pair in zip_longest(ways[0][a:b], ways[1][c:d])
    ]
    alone = [[{name: group} for group in diagram.columns[name]] for name in (CONDITION, ASIDE)]
    return [rows, *alone]


def _lines(box: Box) -> list[tuple[str, str, str]]:
    """What stands under a box's name: left, before the numbers, and the numbers."""
    note = [(box.note, "", "")] if box.note else []
    number = "" if box.kind == "input" else f"{box.parameters:,}"
    told = [(part.name, shape_text(part.shape), f"{part.parameters:,}") for part in box.parts]
    return [*note, (shape_text(box.shape), "", number), *told]


def _height(box: Box) -> float:
    return (1 + len(_lines(box))) * LINE + PAD


def _group_height(group: Group) -> float:
    inside = sum(_height(box) + GAP for box in group.boxes) - GAP
    return inside + (2 * PANEL + CAPTION) * bool(group.title)


def _box_width(box: Box) -> float:
    lines = [[_text_width(words, SMALL) for words in line] for line in _lines(box)]
    rest = max(left + middle for left, middle, _ in lines) + max(number for *_, number in lines) + 0.25
    return max(_text_width(box.name, TITLE), rest) + 2 * PAD


def _text_width(text: str, points: float) -> float:
    """Width of a line of text, with a little to spare; all but small text is bold."""
    return text_inches(text, points, bold=points != SMALL) * 1.02 + 0.02 if text.strip() else 0.0


def _look(kind: str) -> dict[str, Any]:
    colour, tint = KIND_COLOURS[kind], 0 if kind == "input" else 0.18
    return {"edgecolor": colour, "facecolor": [1 - tint + tint * part for part in to_rgb(colour)]}
