"""Every interval that is printed holds the truth in 93 to 97 % of draws."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
CASES = (
    "attributes",
    "classifier",
    "clip_score",
    "cmmd",
    "colour",
    "control",
    "distances",
    "diversity",
    "edit",
    "inception_score",
    "memorization",
    "mind",
    "of images",
    "of real",
    "paired",
    "reconstruction",
    "subgroups",
)


@pytest.fixture
def intervals(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("intervals")


@pytest.mark.slow
def test_every_interval_has_its_case(intervals: Any) -> None:
    assert sorted(intervals.CASES) == list(CASES)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CASES)
def test_an_interval_holds_the_truth_in_93_to_97_percent_of_1000_draws(name: str, intervals: Any) -> None:
    low, high = intervals.WITHIN
    for which, share in intervals.coverage(intervals.CASES[name], 1000).items():
        assert low <= share <= high, which
