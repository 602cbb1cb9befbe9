"""Ways take turns, a round warms up, and both clocks tell seconds an item."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest

from facegen.bench.timing import QUICK_ROUNDS, Bench, Subject, timed

BUSY = "import time\nwhile time.process_time() < 0.3: pass"


def test_ways_take_turns_and_the_round_that_warms_up_is_not_counted() -> None:
    calls: list[str] = []
    ticks: list[None] = []
    bench = Bench(Path(), quick=True, tick=lambda: ticks.append(None))
    ways = bench.interleaved(
        Subject("a", "facegen", lambda: calls.append("a")), Subject("b", "limit", lambda: calls.append("b"))
    )
    assert calls == ["a", "b"] * (1 + QUICK_ROUNDS)
    assert len(ticks) == 1 + QUICK_ROUNDS
    assert [len(way.seconds) for way in ways.values()] == [QUICK_ROUNDS] * 2
    assert {name: way.role for name, way in ways.items()} == {"a": "facegen", "b": "limit"}


def test_seconds_are_of_one_item() -> None:
    bench = Bench(Path(), quick=True)
    ways = bench.interleaved(
        Subject("one", "facegen", lambda: time.sleep(0.02)),
        Subject("ten", "peer", lambda: time.sleep(0.02), 10.0),
    )
    assert 5 < median(ways["one"].seconds) / median(ways["ten"].seconds) < 20


def test_waiting_takes_no_processor_time_and_what_a_child_does_is_counted() -> None:
    waited = timed(lambda: time.sleep(0.2))
    pytest.importorskip("resource", reason="what a child takes is told by POSIX alone")
    worked = timed(lambda: subprocess.run([sys.executable, "-c", BUSY], check=True))
    assert waited.wall >= 0.2 > 0.1 > waited.cpu
    assert worked.cpu >= 0.3
