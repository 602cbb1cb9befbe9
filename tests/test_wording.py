"""Numbers stay short and true, whatever their size."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegen.wording import number_text


@given(st.floats(-1e300, 1e300))
def test_a_number_is_short_and_says_its_size(value: float) -> None:
    text = number_text(value)
    assert len(text) <= 11  # such as -1.234e-310
    assert math.isclose(float(text.replace(",", "")), value, rel_tol=0.05, abs_tol=1e-320)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (6.4208601279970909e25, "6.4e+25"),
        (12345.6, "12,346"),
        (0.60912, "0.6091"),
        (0.0, "0"),
        (math.inf, "inf"),
    ],
)
def test_numbers_as_people_read_them(value: float, text: str) -> None:
    assert number_text(value) == text
