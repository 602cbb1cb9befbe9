"""The lines of an architecture diagram: data flow, skips, and how a condition gets to where it enters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from facegen.plotting.architecture.diagram import Diagram, Signal
from facegen.plotting.architecture.layout import (
    BUS_START,
    BUS_STEP,
    ELBOW_START,
    ELBOW_STEP,
    GROUP_GAP,
    PART_SIZE,
    Layout,
    Rect,
    elbows_of,
    exit_height,
)
from facegen.plotting.style import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FLOW = {"color": "#333333", "lw": 0.9, "zorder": 2}
SKIP = {"color": "#333333", "lw": 0.9, "ls": (0, (4, 2)), "zorder": 2}
SIGNAL_COLOURS = (COLOURS[3], "#7b4f9d", "#4d2f6b", "#8c6d1f")
TOKEN_COLOURS = (COLOURS[1], "#8a3800")
HALO = 2.6  # points of white beside a line that crosses others
Point = tuple[float, float]


def draw_arrows(axes: Axes, diagram: Diagram, layout: Layout) -> tuple[float, float]:
    """Draw all lines; returns how far right and down they go."""
    keys = {
        name: [box.key for group in getattr(diagram, name) for box in group.boxes]
        for name in ("condition", "down", "bottom", "up", "aside")
    }
    for column in keys.values():
        for a, b in pairwise(column):
            if (a, b) in diagram.flows and not any(b in targets for _, targets in elbows_of(diagram)):
                _vertical(axes, layout.boxes[a].middle[0], layout.outline(a), layout.outline(b))
    _draw_elbows(axes, diagram, layout)
    if keys["up"]:
        _draw_turns(axes, keys, layout)
    _draw_skips(axes, diagram, layout)
    _draw_aside(axes, diagram, keys, layout)
    return _draw_signals(axes, diagram, keys, layout)


def signal_style(diagram: Diagram, signal: Signal) -> dict[str, Any]:
    """Colour and width of a condition's line."""
    of_kind = [one for one in diagram.signals if one.is_tokens == signal.is_tokens]
    colours = TOKEN_COLOURS if signal.is_tokens else SIGNAL_COLOURS
    return {"color": colours[of_kind.index(signal) % len(colours)], "lw": 1.3}


def _vertical(axes: Axes, x: float, a: Rect, b: Rect) -> None:
    start, end = (a.bottom, b.y) if a.y < b.y else (a.y, b.bottom)
    _arrow(axes, [(x, start), (x, end)], FLOW)


def _draw_elbows(axes: Axes, diagram: Diagram, layout: Layout) -> None:
    """Flows of the condition that join several boxes or jump over some, left of them."""
    for number, (sources, targets) in enumerate(elbows_of(diagram)):
        starts, ends = ([layout.outline(key) for key in keys] for keys in (sources, targets))
        x = layout.columns["condition"].x - ELBOW_START - ELBOW_STEP * number
        heights = [_port(rect, 0.65) for rect in starts] + [_port(rect, 0.35) for rect in ends]
        _line(axes, [(x, min(heights)), (x, max(heights))], FLOW)
        for rect in starts:
            _line(axes, [(rect.x, _port(rect, 0.65)), (x, _port(rect, 0.65))], FLOW)
        for rect in ends:
            _arrow(axes, [(x, _port(rect, 0.35)), (rect.x, _port(rect, 0.35))], FLOW)


def _draw_turns(axes: Axes, keys: dict[str, list[str]], layout: Layout) -> None:
    """From the end of the way down through the bottom to the start of the way up."""
    last, first = layout.outline(keys["down"][-1]), layout.outline(keys["up"][0])
    turn = max(layout.columns["down"].bottom, layout.columns["up"].bottom) + GROUP_GAP
    left, right = (layout.columns[name].middle[0] for name in ("down", "up"))
    if not keys["bottom"]:
        _arrow(axes, [(left, last.bottom), (left, turn), (right, turn), (right, first.bottom)], FLOW)
        return
    top, low = layout.boxes[keys["bottom"][0]], layout.outline(keys["bottom"][-1])
    _arrow(axes, [(left, last.bottom), (left, turn), (top.middle[0], turn), (top.middle[0], top.y)], FLOW)
    y = _port(low, 0.4)
    _arrow(axes, [(low.right, y), (right, y), (right, first.bottom)], FLOW)


def _draw_skips(axes: Axes, diagram: Diagram, layout: Layout) -> None:
    """One arrow a pair of stages, with the number of tensors."""
    joined: dict[tuple[Rect, Rect], int] = {}
    for a, b, number in diagram.skips:
        pair = (layout.panel_of.get(a, layout.outline(a)), layout.panel_of.get(b, layout.outline(b)))
        joined[pair] = joined.get(pair, 0) + number
    for (a, b), number in joined.items():
        y = (max(a.y, b.y) + min(a.bottom, b.bottom)) / 2
        start, end = (y, y) if a.meets(Rect(a.x, b.y, 0.01, b.height)) else (a.middle[1], b.middle[1])
        _arrow(axes, [(a.right, start), (b.x, end)], SKIP)
        words = "skip" if number == 1 else f"{number} skips"
        x, y = (a.right + b.x) / 2, (start + end) / 2 - 0.03
        axes.text(x, y, words, fontsize=PART_SIZE, ha="center", va="bottom", color="#444444", zorder=6)


def _draw_aside(axes: Axes, diagram: Diagram, keys: dict[str, list[str]], layout: Layout) -> None:
    """To the judges from what they judge."""
    within = set(keys["aside"])
    for a, b in sorted(diagram.flows):
        if b in within and a not in within:
            start, end = layout.outline(a), layout.boxes[b]
            high, low = exit_height(layout, diagram, a), end.middle[1]
            high = low if abs(high - low) < 0.01 else high
            x = end.x - 0.3
            _arrow(axes, [(start.right, high), (x, high), (x, low), (end.x, low)], FLOW)


def _draw_signals(
    axes: Axes, diagram: Diagram, keys: dict[str, list[str]], layout: Layout
) -> tuple[float, float]:
    right, bottom = layout.right, layout.bottom
    for number, signal in enumerate(diagram.signals):
        style = {**signal_style(diagram, signal), "zorder": 2.5 + 0.02 * number}
        bus = layout.columns["condition"].right + BUS_START + BUS_STEP * number
        shift = 0.08 * (number - (len(diagram.signals) - 1) / 2)
        sources = [layout.outline(key) for key in signal.sources]
        near = [layout.outline(key) for key in signal.targets if key not in keys["up"]]
        far = [layout.outline(key) for key in signal.targets if key in keys["up"]]
        ends = [rect.middle[1] + shift for rect in (*sources, *near)]
        if far:
            low, other = layout.bottom + 0.14 + 0.1 * number, layout.columns["up"].right + BUS_START
            other += BUS_STEP * number
            right, bottom = max(right, other), max(bottom, low)
            highest = min(rect.middle[1] for rect in far) + shift
            _line(axes, [(bus, min(ends)), (bus, low), (other, low), (other, highest)], style)
            for rect in far:
                y = rect.middle[1] + shift
                _arrow(axes, [(other, y), (rect.right, y)], style)
        else:
            _line(axes, [(bus, min(ends)), (bus, max(ends))], style)
        for rect in sources:
            y = rect.middle[1] + shift
            _line(axes, [(rect.right, y), (bus, y)], style)
        for rect in near:
            y = rect.middle[1] + shift
            _arrow(axes, [(bus, y), (rect.x, y)], style)
    return right, bottom


def _port(rect: Rect, share: float) -> float:
    """Height of a line that ends at a side of a box."""
    return rect.y + share * rect.height


def _line(axes: Axes, points: Sequence[Point], style: dict[str, Any]) -> None:
    """A line that keeps its distance from those it crosses."""
    xs, ys = zip(*points, strict=True)
    below = {**style, "color": "white", "lw": style["lw"] + HALO, "ls": "-", "zorder": style["zorder"] - 0.01}
    axes.plot(xs, ys, solid_capstyle="butt", **below)
    axes.plot(xs, ys, solid_joinstyle="round", solid_capstyle="projecting", **style)


def _arrow(axes: Axes, points: Sequence[Point], style: dict[str, Any]) -> None:
    from matplotlib.patches import FancyArrowPatch

    if len(points) > 2:
        _line(axes, points[:-1], style)
    head = FancyArrowPatch(
        points[-2],
        points[-1],
        arrowstyle="-|>,head_length=3,head_width=1.5",
        mutation_scale=1,
        shrinkA=0,
        shrinkB=0,
        joinstyle="miter",
        **style,
    )
    axes.add_patch(head)
