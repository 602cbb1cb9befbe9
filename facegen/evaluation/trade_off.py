"""Two scores against each other over settings, with what no other setting beats in both."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """One setting: its label, two scores with their 95 % intervals, and which way each is better."""

    label: str
    x: float
    y: float
    x_interval: tuple[float, float] | None = None
    y_interval: tuple[float, float] | None = None
    x_better: str = "higher"
    y_better: str = "lower"


def not_beaten(points: Sequence[Point]) -> list[Point]:
    """The Pareto front: points that no other is at least as good as in both scores and better in one."""

    def goods(point: Point) -> tuple[float, float]:
        x = point.x if point.x_better == "higher" else -point.x
        return x, point.y if point.y_better == "higher" else -point.y

    def beaten(point: Point) -> bool:
        mine = goods(point)
        return any(
            theirs[0] >= mine[0] and theirs[1] >= mine[1] and theirs != mine for theirs in map(goods, points)
        )

    return [point for point in points if not beaten(point)]


def trade_off_png(points: Sequence[Point], x_label: str, y_label: str, title: str) -> bytes:
    """A PNG of the points, labelled by their setting, with intervals and the Pareto front as a line.

    Raises:
        ValueError: no points.
    """
    if not points:
        raise ValueError("a trade-off needs at least one point")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), dpi=130, layout="constrained")
    axes = figure.subplots()
    front = sorted(not_beaten(points), key=lambda point: point.x)
    axes.plot([point.x for point in front], [point.y for point in front], color="#2a6f97", alpha=0.5, lw=1.5)
    for point in points:
        colour = "#2a6f97" if point in front else "#8d99ae"
        if point.x_interval is not None:
            axes.hlines(point.y, *point.x_interval, color=colour, alpha=0.35)
        if point.y_interval is not None and point.y_interval[0] <= point.y <= point.y_interval[1]:
            axes.vlines(point.x, *point.y_interval, color=colour, alpha=0.35)
        axes.plot(point.x, point.y, "o", color=colour)
        axes.annotate(point.label, (point.x, point.y), xytext=(6, 6), textcoords="offset points")
    axes.set_xlabel(f"{x_label.replace('_', ' ')} ({points[0].x_better} is better)")
    axes.set_ylabel(f"{y_label.replace('_', ' ')} ({points[0].y_better} is better)")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.2)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()
