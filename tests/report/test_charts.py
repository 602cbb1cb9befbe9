"""Charts put points where the numbers are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from facegen.report.charts import Interval, Series, interval_chart, line_chart, read_series


def _points(chart: str) -> list[list[tuple[float, float]]]:
    lines = re.findall(r'<polyline[^>]*points="([^"]*)"', chart)
    return [[(float(x), float(y)) for x, y in (pair.split(",") for pair in line.split())] for line in lines]


def _svg(chart: str) -> ElementTree.Element:
    return ElementTree.fromstring(chart[chart.index("<svg") :])


def test_a_line_runs_from_left_to_right_and_higher_values_stand_higher() -> None:
    (line,) = _points(line_chart([Series("loss", [0, 50, 100], [3.0, 2.0, 1.0])]))
    (x0, y0), (x1, y1), (x2, y2) = line
    assert x0 < x1 < x2
    assert y0 < y1 < y2  # SVG counts from the top
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.2)


def test_a_log_axis_spaces_equal_ratios_equally() -> None:
    (line,) = _points(line_chart([Series("loss", [0, 1, 2], [100.0, 10.0, 1.0])], log_y=True))
    ys = [y for _, y in line]
    assert ys[1] - ys[0] == pytest.approx(ys[2] - ys[1], abs=0.2)


def test_a_chart_is_well_formed_whatever_the_names() -> None:
    svg = _svg(line_chart([Series('<&"', [1, 2], [1, 2]), Series("b", [], [])], x_label="<x>", alt="<alt>"))
    assert svg.get("aria-label") == "<alt>"


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0], [0.0, 1e-9], [-5.0, 1e6], [float("nan"), 1.0]])
def test_odd_ranges_still_make_a_chart(values: list[float]) -> None:
    _svg(line_chart([Series("y", list(range(len(values))), values)]))


def test_no_point_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one point"):
        line_chart([Series("loss", [0.0], [0.0])], log_y=True)


def test_long_lines_are_thinned_by_averaging() -> None:
    (line,) = _points(line_chart([Series("loss", range(10_000), [i % 5 for i in range(10_000)])]))
    assert len(line) == 400
    assert len({y for _, y in line}) == 1  # every window averages the same


def test_series_come_from_one_group_and_the_last_word_on_a_step_counts(tmp_path: Path) -> None:
    rows = [
        {"step": 1, "group": "train", "loss": 3.0},
        {"step": 2, "group": "train", "loss": 2.0},
        {"step": 2, "group": "validation", "loss": 9.0, "by": {"x": 1.5}},
        {"step": 2, "group": "train", "loss": 1.0},
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + '\n{"step": 3, "gro')
    assert read_series(path, "train", "loss", "training").y == [3.0, 1.0]
    assert read_series(path, "validation", "by.x").x == [2]
    assert read_series(path, "train", "absent").x == []


def test_an_interval_row_shows_value_bounds_and_reference_in_order() -> None:
    svg = _svg(interval_chart([Interval("Smiling <b>", 0.5, 0.25, 0.75, 1.0)], reference_label="classifier"))
    namespace = svg.tag.removesuffix("svg")
    (circle,) = svg.iter(f"{namespace}circle")
    bars = [line for line in svg.iter(f"{namespace}line") if line.get("class") == "line"]
    interval, reference = bars
    low, high = float(interval.get("x1", 0)), float(interval.get("x2", 0))
    value = float(circle.get("cx", 0))
    assert value == pytest.approx((low + high) / 2, abs=0.2)
    assert float(reference.get("x1", 0)) - value == pytest.approx(2 * (high - value), abs=0.3)
