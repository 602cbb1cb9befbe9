"""What a person reads of a result."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.bench_results import ROUNDS, result, way

from facegen.bench.compare import changes
from facegen.cli.bench import _bar, _print, _time


def test_ways_findings_and_what_was_left_out_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    found = result(way("facegen: stored", ROUNDS), way("gather", tuple(one / 4 for one in ROUNDS)))
    _print(found)
    told = capsys.readouterr().out
    for words in (
        "facegen: stored",
        "latents/s",
        "≥ 0.8",
        "missed",
        "Left out: nothing.",
        "a processor, 2 cores",
    ):
        assert words in told
    assert "Busy" not in told
    _print(replace(found, waiting=(13.5, 12.0)))
    assert "13.5 and 12.0 programs wanted a core" in capsys.readouterr().out


def test_what_became_slower_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    before, now = (
        result(way("ours", tuple(k * one for one in ROUNDS)), way("gather", ROUNDS)) for k in (1, 2)
    )
    _print(replace(now, compared_with="before.json", changes=changes(before, now)))
    told = capsys.readouterr().out
    assert "Beside 'before.json'" in told
    assert "1 of facegen's own" in told


def test_bars_and_times() -> None:
    assert _bar(1.0) == "█" * 20
    assert _bar(0.5) == "█" * 10
    assert _bar(1 / 160) == "▏"
    assert [_time(seconds) for seconds in (2.0, 0.02, 2e-5)] == ["2 s", "20 ms", "20 µs"]
