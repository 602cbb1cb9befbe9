"""Progress as a person or a log file sees it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from facegen.cli.console import LiveProgress, PlainProgress, duration_text


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_log_file_gets_a_line_every_few_seconds_and_no_carriage_returns() -> None:
    stream, clock = io.StringIO(), _Clock()
    progress = PlainProgress(stream, every_seconds=5.0, clock=clock)
    with progress.stage("Encoding", total=100) as task:
        for _ in range(12):
            clock.now += 1.0
            task.advance(5, loss="0.5")
    lines = stream.getvalue().splitlines()
    assert lines == [
        "Encoding ...",
        "Encoding: 25/100 (25%), 5/s, 5.0 s, 0:15 left, loss 0.5",
        "Encoding: 50/100 (50%), 5/s, 0:10, 0:10 left, loss 0.5",
        "Encoding: 60 in 0:12, loss 0.5",
    ]
    assert "\r" not in stream.getvalue()


def test_a_stage_without_a_total_still_tells_its_rate() -> None:
    stream, clock = io.StringIO(), _Clock()
    with PlainProgress(stream, every_seconds=1.0, clock=clock).stage("Reading") as task:
        clock.now = 2.0
        task.advance(100)
    assert "Reading: 100, 50/s, 2.0 s" in stream.getvalue()


def test_a_failed_stage_does_not_say_it_is_done() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)

    def fail() -> None:
        with progress.stage("Encoding", total=10):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert stream.getvalue() == "Encoding ...\n"


def test_quiet_keeps_warnings_alone() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream, talk=False)
    progress.say("a remark")
    with progress.stage("Encoding") as task:
        task.advance()
    progress.warn("a warning")
    assert stream.getvalue() == "Warning: a warning\n"


def test_live_bars_nest_and_leave_a_line_each() -> None:
    stream = io.StringIO()
    progress = LiveProgress(Console(file=stream, force_terminal=True, width=120, highlight=False))
    with progress.stage("Outer", total=2) as outer, progress.stage("Inner", total=3) as inner:
        inner.advance(3, loss="[0.1]")
        outer.advance()
        progress.say("said [in] between")
        progress.warn("careful")
    shown = stream.getvalue()
    assert shown.count("✓") == 2
    assert "Inner" in shown
    assert "loss [0.1]" in shown
    assert "said [in] between" in shown
    with progress.stage("Again") as task:  # a second life after the first display was closed
        task.advance()
    assert "Again" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "0:10"), (125, "2:05"), (3723, "1:02:03")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
