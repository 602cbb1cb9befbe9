"""The median rule: which run is not worth its remaining time."""

from __future__ import annotations

import math

from facegen.sweeping.stopping import curve, not_worth_it

FINISHED = [{1: 1.0, 2: 0.6, 3: 0.5}, {1: 0.9, 2: 0.8, 3: 0.7}, {1: 2.0, 2: 1.2, 3: 1.1}]


def test_a_run_worse_than_the_median_there_is_stopped_and_told_why() -> None:
    told = not_worth_it({1: 0.5, 2: 0.81}, FINISHED, 4)
    assert told is not None
    assert "0.81 at check 2 of 4" in told
    assert "worse than 0.8, the median of the 3 finished runs there" in told


def test_a_run_as_good_as_the_median_goes_on() -> None:
    assert not_worth_it({1: 5.0, 2: 0.8}, FINISHED, 4) is None


def test_nothing_is_stopped_at_its_beginning_at_its_end_or_before_two_finished() -> None:
    assert not_worth_it({1: 9.0}, FINISHED, 4) is None
    assert not_worth_it({3: 9.0}, FINISHED, 3) is None
    assert not_worth_it({2: 9.0}, FINISHED[:1], 4) is None
    assert not_worth_it({}, FINISHED, 4) is None


def test_checks_are_numbered_by_their_share_of_the_steps() -> None:
    rows = [
        {"step": 5, "group": "train", "loss": 9.0},
        {"step": 10, "group": "validation", "loss": 1.0},
        {"step": 20, "group": "validation", "loss": 0.5},
        {"step": 25, "group": "validation", "loss": None},
    ]
    found = curve(rows, 10)
    assert (found[1], found[2]) == (1.0, 0.5)
    assert math.isnan(found[3])
