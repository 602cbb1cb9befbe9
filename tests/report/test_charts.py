"""Charts put points where the numbers are."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from facegen.report.blocks import Chart, Series
from facegen.report.charts import line_chart


def _chart(*lines: Series) -> str:
    return line_chart(Chart(lines, "Loss"))


def _points(chart: str) -> list[list[tuple[float, float]]]:
    """Of the lines that have a colour of their own, and not of the grid."""
    lines = re.findall(r'<path d="([^"]*)"[^>]*var\(--series-', chart)
    return [[(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", line)] for line in lines]


def test_a_line_runs_from_left_to_right_and_higher_values_stand_higher() -> None:
    (line,) = _points(_chart(Series("loss", [0, 50, 100], [3.0, 2.0, 1.5])))
    (x0, y0), (x1, y1), (x2, y2) = line
    assert x0 < x1 < x2
    assert y0 < y1 < y2  # SVG counts from the top
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y1 - y0 == pytest.approx(2 * (y2 - y1), abs=0.2)


def test_a_chart_is_well_formed_whatever_the_words() -> None:
    lines = [Series('<&"', [1, 2], [1, 2]), Series("b", [], [])]
    svg = line_chart(Chart(lines, "<title>", x_label="<x> $\\alpha$", y_label="<y>"))
    words = [text.text for text in ElementTree.fromstring(svg).iter() if text.tag.endswith("}text")]
    assert "<x> $\\alpha$" in words


def test_a_chart_takes_its_colours_from_the_page_and_names_nothing_of_its_own() -> None:
    svg = _chart(*(Series(str(index), [0, 1], [index, index + 1]) for index in range(8)))
    assert [int(index) for index in re.findall(r"var\(--series-(\d)\)", svg)] == [1, 2, 3, 4, 5, 6, 1, 2]
    assert "#0" not in svg
    assert not [part for part in (" id=", "url(", "<style", "href=", "font-family") if part in svg]


def test_the_same_chart_is_the_same_text() -> None:
    lines = (Series("a", [0, 1], [1, 2]), Series("b", [0, 1], [2, 2], dashed=True))
    assert _chart(*lines) == _chart(*lines)


@pytest.mark.parametrize(
    "values", [[1.0], [2.0, 2.0], [0.0, 1e-9], [-5.0, 1e6], [float("nan"), 1.0], [None, 1]]
)
def test_odd_ranges_still_make_a_chart(values: list[float]) -> None:
    ElementTree.fromstring(_chart(Series("y", list(range(len(values))), values)))


def test_long_lines_are_thinned_by_averaging() -> None:
    (flat,) = _points(_chart(Series("loss", range(10_000), [i % 5 for i in range(10_000)])))
    assert len({y for _, y in flat}) == 1  # every window averages the same
    (zigzag,) = _points(_chart(Series("loss", range(10_000), [i // 25 % 2 for i in range(10_000)])))
    assert len(set(zigzag)) == 400
