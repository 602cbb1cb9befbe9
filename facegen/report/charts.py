"""Charts as inline SVG, coloured by the page's style so that they fit light and dark.

`line_chart` for what a run logs, `interval_chart` for shares with confidence intervals; both escape texts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

NUM_COLOURS = 6  # --series-1 .. --series-6 of report.css
WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 12, 56
MAX_POINTS = 400
ROWS_WIDTH, ROW_HEIGHT, NAME_WIDTH, VALUE_WIDTH = 520, 26, 176, 96  # narrow, so that a phone can show it


@dataclass(frozen=True)
class Series:
    """One line. `reference` draws it dashed, for a predictor or a floor to compare with."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    reference: bool = False


@dataclass(frozen=True)
class Interval:
    """One row of `interval_chart`: a share in [0, 1], its interval, and a reference such as the ceiling."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    reference: float | None = None


def read_series(metrics: Path, group: str, key: str, name: str | None = None) -> Series:
    """Series of `key` (dots reach into mappings) from a run's `metrics.jsonl`; empty if it was never logged.

    A step that a resumed run repeated counts once, as logged last. A half-written last line is left out.
    """
    points: dict[float, float] = {}
    for line in metrics.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        value = row if row.get("group") == group else None
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, int | float) and math.isfinite(value):
            points[row["step"]] = float(value)
    steps = sorted(points)
    return Series(name or key, steps, [points[step] for step in steps])


def line_chart(
    series: Sequence[Series], *, x_label: str = "step", y_label: str = "", log_y: bool = False, alt: str = ""
) -> str:
    """An SVG line chart with its legend; lines longer than 400 points are thinned by averaging.

    Raises:
        ValueError: no series holds a point (or, with `log_y`, a positive one).
    """
    lines = [_thinned(_finite(one, positive=log_y)) for one in series]
    xs = [x for line in lines for x in line.x]
    ys = [y for line in lines for y in line.y]
    if not xs:
        raise ValueError("a chart needs at least one point")
    x_ticks = _ticks(min(xs), max(xs), 6)
    y_ticks = _log_ticks(min(ys), max(ys)) if log_y else _ticks(min(ys), max(ys), 5)
    x_of = _Scale(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    warp = math.log10 if log_y else float
    y_of = _Scale(warp(min([*y_ticks, *ys])), warp(max([*y_ticks, *ys])), HEIGHT - BOTTOM, TOP)
    parts = [_y_tick(tick, y_of(warp(tick))) for tick in y_ticks]
    parts += [_x_tick(tick, x_of(tick)) for tick in x_ticks]
    for index, line in enumerate(lines):
        points = " ".join(f"{x_of(x):.1f},{y_of(warp(y)):.1f}" for x, y in zip(line.x, line.y, strict=True))
        css_class = "line reference" if line.reference else "line"
        if line.x:
            parts.append(
                f'<polyline class="{css_class}" style="stroke: {_colour(index)}" points="{points}"/>'
            )
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{escape(x_label)}</text>')
    chart = _svg(WIDTH, HEIGHT, parts, alt or f"{', '.join(line.name for line in lines)} by {x_label}")
    return f"{_legend(lines, y_label)}{chart}"


def interval_chart(rows: Sequence[Interval], *, reference_label: str = "", alt: str = "") -> str:
    """An SVG row per share: a dot, its interval as a bar, and the reference as a tick.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("a chart needs at least one row")
    x_of = _Scale(0.0, 1.0, NAME_WIDTH, ROWS_WIDTH - VALUE_WIDTH)
    height = ROW_HEIGHT * len(rows) + 34
    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = x_of(tick)
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - 28}"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle">{tick:.0%}</text>')
    for index, row in enumerate(rows):
        parts += _interval_row(row, 4 + ROW_HEIGHT * (index + 0.5), x_of)
    legend = ""
    if reference_label:
        mark = '<i style="background: var(--series-2)"></i>'
        legend = f'<div class="legend"><span>{mark}{escape(reference_label)}</span></div>'
    return legend + _svg(ROWS_WIDTH, round(height), parts, alt or "Shares with their intervals", "chart rows")


def _interval_row(row: Interval, y: float, x_of: _Scale) -> list[str]:
    name = f'x="{NAME_WIDTH - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(row.name)}'
    parts = [f'<text class="name" {name}</text>']
    if row.low is not None and row.high is not None:
        ends = f'x1="{x_of(row.low):.1f}" x2="{x_of(row.high):.1f}" y1="{y:.1f}" y2="{y:.1f}"'
        parts.append(
            f'<line class="line" style="stroke: {_colour(0)}; stroke-width: 6; opacity: 0.35" {ends}/>'
        )
    if row.reference is not None:
        x = x_of(row.reference)
        ends = f'x1="{x:.1f}" x2="{x:.1f}" y1="{y - 8:.1f}" y2="{y + 8:.1f}"'
        parts.append(f'<line class="line" style="stroke: {_colour(1)}" {ends}/>')
    parts.append(f'<circle cx="{x_of(row.value):.1f}" cy="{y:.1f}" r="4.5" style="fill: {_colour(0)}"/>')
    shown = f"{100 * row.value:.1f} %"
    parts.append(f'<text class="name" x="{ROWS_WIDTH - VALUE_WIDTH + 18}" y="{y + 4:.1f}">{shown}</text>')
    return parts


class _Scale:
    """Linear map of [low, high] to [start, end]; a range of one value lands in the middle."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self._low, self._span = low, high - low
        self._start, self._length = start, end - start

    def __call__(self, value: float) -> float:
        share = (value - self._low) / self._span if self._span else 0.5
        return self._start + share * self._length


def _finite(series: Series, *, positive: bool) -> Series:
    kept = [
        (x, y)
        for x, y in zip(series.x, series.y, strict=True)
        if math.isfinite(x) and math.isfinite(y) and (y > 0 or not positive)
    ]
    return Series(series.name, [x for x, _ in kept], [y for _, y in kept], series.reference)


def _thinned(series: Series) -> Series:
    width = math.ceil(len(series.x) / MAX_POINTS)
    if width <= 1:
        return series
    starts = range(0, len(series.x), width)
    return Series(
        series.name,
        [_mean(series.x[start : start + width]) for start in starts],
        [_mean(series.y[start : start + width]) for start in starts],
        series.reference,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers within [low, high], about as many as asked for."""
    if low == high:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) <= 3 else (1,)
    inside = [f * 10.0**power for power in powers for f in factors if low <= f * 10.0**power <= high]
    return inside or [low, high]


def _x_tick(value: float, x: float) -> str:
    return f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 22}" text-anchor="middle">{_number(value)}</text>'


def _y_tick(value: float, y: float) -> str:
    line = f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return f'{line}<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>'


def _number(value: float) -> str:
    if abs(value) >= 1000 and value % 100 == 0:
        return f"{value / 1000:g}k"
    return f"{value:.3g}"


def _colour(index: int) -> str:
    return f"var(--series-{index % NUM_COLOURS + 1})"


def _legend(lines: Sequence[Series], y_label: str) -> str:
    names = [
        f'<span><i style="{_swatch(line, index)}"></i>{escape(line.name)}</span>'
        for index, line in enumerate(lines)
    ]
    axis = [f"<span>{escape(y_label)}</span>"] if y_label else []
    return f'<div class="legend">{"".join(axis + names)}</div>'


def _swatch(line: Series, index: int) -> str:
    colour = _colour(index)
    if not line.reference:
        return f"background: {colour}"
    return f"background: repeating-linear-gradient(90deg, {colour} 0 5px, transparent 5px 9px)"


def _svg(width: int, height: int, parts: Sequence[str], alt: str, css_class: str = "chart") -> str:
    inner = "".join(parts)
    box = f"0 0 {width} {height}"
    opening = f'<svg class="{css_class}" viewBox="{box}" role="img" aria-label="{escape(alt)}">'
    return f"{opening}{inner}</svg>"
