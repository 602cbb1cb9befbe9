"""How results are worded."""

from __future__ import annotations

from facegen.cli.results import numbers_text


def test_a_few_numbers_are_listed_and_of_many_the_range_is_told() -> None:
    assert numbers_text([0.18215, 2.0]) == "0.1822, 2"
    assert numbers_text([1.5, 0.25, *[1.0] * 254]) == "0.25 to 1.5 (256 numbers)"
