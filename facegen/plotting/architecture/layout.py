"""Where the boxes of a diagram stand: inches from the upper left of the page, before anything is drawn.

A network that goes down and up again stands as a U, its stages of one resolution side by side; any other is
one column. What makes the condition stands left of it, judges of the output right.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from facegen.plotting.architecture.diagram import Box, Diagram, Group, shape_text

TITLE_SIZE, NUMBER_SIZE, PART_SIZE = 7.0, 6.4, 5.8  # points
TITLE_LINE, NUMBER_LINE, PART_LINE = 0.125, 0.115, 0.098  # inches
PAD = 0.07  # between a box's edge and its text
BOX_GAP, GROUP_GAP, FRAME_PAD, PANEL_PAD = 0.16, 0.2, 0.055, 0.09
CAPTION = 0.12  # of a group
MIDDLE_GAP = 0.95  # between the two sides of a U, for the skips
BUS_START, BUS_STEP = 0.2, 0.14
ELBOW_START, ELBOW_STEP = 0.14, 0.1
SMALLEST_BOX = 1.35
PART_GAP = 0.2
MARGIN = 0.15
SHEET = 0.035  # how far the second sheet of a folded box looks out
SPARE = 1.04  # renderers differ a little in how wide they set a text


@dataclass(frozen=True)
class Rect:
    """x, y of the upper left corner, width and height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def middle(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2

    def grown(self, by: float) -> Rect:
        return Rect(self.x - by, self.y - by, self.width + 2 * by, self.height + 2 * by)

    def meets(self, other: Rect) -> bool:
        """Whether the two have an area in common."""
        beside = self.right <= other.x or other.right <= self.x
        return not beside and self.y < other.bottom and other.y < self.bottom


@dataclass
class Layout:
    """Boxes by key, the outline of runs that take turns, panels behind groups, and where each column ends."""

    boxes: dict[str, Rect] = field(default_factory=dict)
    frames: list[Rect] = field(default_factory=list)
    panels: dict[str, tuple[Rect, str]] = field(default_factory=dict)  # by their first box: outline, caption
    panel_of: dict[str, Rect] = field(default_factory=dict)  # every box of a panel
    columns: dict[str, Rect] = field(default_factory=dict)
    folded: set[str] = field(default_factory=set)

    def outline(self, key: str) -> Rect:
        """A box with the second sheet behind it."""
        box, more = self.boxes[key], SHEET if key in self.folded else 0.0
        return Rect(box.x, box.y, box.width + more, box.height + more)

    @property
    def right(self) -> float:
        return max(rect.right for rect in self._outlines())

    @property
    def bottom(self) -> float:
        return max(rect.bottom for rect in self._outlines())

    def _outlines(self) -> Iterator[Rect]:
        yield from map(self.outline, self.boxes)
        yield from (rect for rect, _ in self.panels.values())


@lru_cache(maxsize=4096)
def text_width(text: str, points: float, weight: str = "normal") -> float:
    """Width in inches of a line of text."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not text.strip():
        return 0.0
    font = FontProperties(family=["DejaVu Sans"], weight=weight)
    return float(TextPath((0, 0), text, size=points, prop=font).get_extents().width) / 72 * SPARE + 0.02


def lay_out(diagram: Diagram, top: float, indent: float = 0.0) -> Layout:
    """Place every box at or below `top`, and right of the margin and `indent`."""
    layout = Layout(folded={box.key for box in diagram.boxes() if box.repeats > 1})
    elbows = ELBOW_START + ELBOW_STEP * len(elbows_of(diagram))
    left = MARGIN + indent + (PANEL_PAD if diagram.up and not diagram.condition else 0)
    if diagram.condition:
        left += elbows
        width = column_width(diagram.condition)
        _stack(layout, "condition", diagram.condition, left, width, top)
        left += width + BUS_START + BUS_STEP * max(0, len(diagram.signals) - 1) + BUS_START
    down = column_width(diagram.down)
    if not diagram.up:
        _stack(layout, "down", diagram.down, left, down, top)
        return layout
    up_left = left + down + MIDDLE_GAP
    up = column_width(diagram.up)
    bottom = _rows(layout, diagram, (left, down), (up_left, up), top)
    if diagram.bottom:
        width = column_width(diagram.bottom)
        centre = left + down + MIDDLE_GAP / 2
        _stack(layout, "bottom", diagram.bottom, centre - width / 2, width, bottom + 2 * GROUP_GAP)
    if diagram.aside:
        _aside(layout, diagram, up_left + up + MIDDLE_GAP * 0.7, top)
    return layout


def elbows_of(diagram: Diagram) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Flows of the condition's column but those to the next box: from all of these to each of those."""
    keys = [box.key for group in diagram.condition for box in group.boxes]
    number = {key: n for n, key in enumerate(keys)}
    joined: dict[tuple[str, ...], list[str]] = {}
    for target in keys:
        sources = tuple(a for a in keys if (a, target) in diagram.flows)
        if len(sources) > 1 or (sources and number[target] != number[sources[0]] + 1):
            joined.setdefault(sources, []).append(target)
    return [(sources, tuple(targets)) for sources, targets in joined.items()]


def box_height(box: Box) -> float:
    """Height in inches of a box with its text."""
    part_lines = math.ceil(len(box.parts) / box.part_columns)
    lines = TITLE_LINE + NUMBER_LINE + PART_LINE * (part_lines + len(box.contents))
    return lines + PAD * 1.1 + (0.04 if box.parts or box.contents else 0)


def column_width(groups: Sequence[Group]) -> float:
    """The width that the widest text of a column needs."""
    return max(
        [SMALLEST_BOX, *(_text_width(box) + 2 * PAD for group in groups for box in group.boxes)]
    ) + 2 * FRAME_PAD * any(len(run) > 1 for group in groups for run in group.runs)


def _text_width(box: Box) -> float:
    numbers = text_width(shape_text(box.shape), NUMBER_SIZE) + text_width(f"{box.parameters:,}", NUMBER_SIZE)
    parts = [
        text_width(part.name, PART_SIZE)
        + text_width(shape_text(part.shape), PART_SIZE)
        + text_width(f"{part.parameters:,}", PART_SIZE)
        + 0.3
        for part in box.parts
    ]
    contents = [text_width(words, PART_SIZE) for words in box.contents]
    columns = box.part_columns
    beside = columns * max(parts, default=0) + PART_GAP * (columns - 1)
    return max([text_width(box.title, TITLE_SIZE, "bold"), numbers + 0.25, beside, *contents])


def _run_height(run: Sequence[Box]) -> float:
    inside = sum(map(box_height, run)) + BOX_GAP * (len(run) - 1)
    return inside + (2 * FRAME_PAD if len(run) > 1 else 0)


def _group_height(group: Group) -> float:
    inside = sum(map(_run_height, group.runs)) + BOX_GAP * (len(group.runs) - 1)
    return inside + (2 * PANEL_PAD + CAPTION if group.panel else 0)


def _place(
    layout: Layout, group: Group, x: float, width: float, y: float, *, height: float, upward: bool
) -> None:
    """Put a group's boxes in `height`: the first one on top, or with `upward` at the bottom."""
    panel = group.panel
    outline = Rect(x - PANEL_PAD, y, width + 2 * PANEL_PAD, height)
    if panel:
        layout.panels[group.boxes[0].key] = (outline, group.title)
        layout.panel_of.update({box.key: outline for box in group.boxes})
    y += (height - _group_height(group) if upward else 0) + (PANEL_PAD + CAPTION if panel else 0)
    framed = any(len(run) > 1 for run in group.runs)
    for run in reversed(group.runs) if upward else group.runs:
        several = len(run) > 1
        if several:
            layout.frames.append(Rect(x, y, width, _run_height(run)))
            y += FRAME_PAD
        inset = FRAME_PAD if framed else 0.0
        for box in reversed(run) if upward else run:
            layout.boxes[box.key] = Rect(x + inset, y, width - 2 * inset, box_height(box))
            y += box_height(box) + BOX_GAP
        y += FRAME_PAD if several else 0


def _stack(layout: Layout, name: str, groups: Sequence[Group], x: float, width: float, top: float) -> None:
    y = top
    for group in groups:
        height = _group_height(group)
        _place(layout, group, x, width, y, height=height, upward=False)
        y += height + GROUP_GAP
    old = layout.columns.get(name)
    layout.columns[name] = Rect(x, old.y if old else top, width, y - GROUP_GAP - (old.y if old else top))


def _rows(
    layout: Layout, diagram: Diagram, down: tuple[float, float], up: tuple[float, float], top: float
) -> float:
    """Both sides of the U with what has one resolution side by side; returns where they end."""
    y = top
    for left, right in rows_of(diagram):
        height = max(_group_height(group) for group in (left, right) if group is not None)
        if left is not None:
            _place(layout, left, *down, y, height=height, upward=False)
        if right is not None:
            _place(layout, right, *up, y, height=height, upward=True)
        y += height + GROUP_GAP
    for name, (x, width) in (("down", down), ("up", up)):
        layout.columns[name] = Rect(x, top, width, y - GROUP_GAP - top)
    return y - GROUP_GAP


def rows_of(diagram: Diagram) -> list[tuple[Group | None, Group | None]]:
    """Groups of the way down, each beside the one of the way up with the same title; from top to bottom."""
    left, right = list(diagram.down), list(reversed(diagram.up))
    rows: list[tuple[Group | None, Group | None]] = []
    while left or right:
        if left and right and _kind(left[0]) == _kind(right[0]):
            rows.append((left.pop(0), right.pop(0)))
        elif left and (not right or _kind(left[0]) not in map(_kind, right)):
            rows.append((left.pop(0), None))
        elif right and (not left or _kind(right[0]) not in map(_kind, left)):
            rows.append((None, right.pop(0)))
        else:
            rows.append((left.pop(0), None))
    return rows


def _kind(group: Group) -> str:
    return "input" if group.boxes[0].role == "input" else group.title


def _aside(layout: Layout, diagram: Diagram, x: float, top: float) -> None:
    """Each group as high as what feeds it, as far as the one above leaves room."""
    width = column_width(diagram.aside)
    fed = {group.boxes[0].key: _fed_at(layout, diagram, group.boxes[0].key) for group in diagram.aside}
    y = top
    for group in sorted(diagram.aside, key=lambda group: fed[group.boxes[0].key]):
        first = box_height(group.boxes[0]) / 2 + (PANEL_PAD + CAPTION if group.panel else 0)
        y = max(y, fed[group.boxes[0].key] - first)
        _place(layout, group, x, width, y, height=_group_height(group), upward=False)
        y += _group_height(group) + 2 * GROUP_GAP


def _fed_at(layout: Layout, diagram: Diagram, key: str) -> float:
    sources = [exit_height(layout, diagram, a) for a, b in diagram.flows if b == key and a in layout.boxes]
    return min(sources, default=0.0)


def exit_height(layout: Layout, diagram: Diagram, key: str) -> float:
    """Where a line to a judge leaves a box; from the bottom one, below the line to the way up."""
    low = any(box.key == key for group in diagram.bottom for box in group.boxes)
    rect = layout.boxes[key]
    return rect.y + rect.height * (0.78 if low else 0.5)
