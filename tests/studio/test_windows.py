"""Which windows are drawn for."""

import pytest

from facegen.studio.windows import FULL, GRACE_SECONDS, MAX_DRAWINGS, TWO_AT_ONCE, Windows


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def windows(clock):
    return Windows(clock)


def test_a_window_has_one_drawing_at_a_time(windows):
    assert windows.take("a") is None
    assert windows.take("a") == TWO_AT_ONCE
    assert windows.take("b") is None
    windows.release("a")
    assert windows.take("a") is None


def test_only_so_many_drawings_run_or_wait_and_those_of_windows_that_left_do_not_count(windows, clock):
    for number in range(MAX_DRAWINGS):
        assert windows.take(str(number)) is None
    assert windows.take("late") == FULL
    clock.now += GRACE_SECONDS + 1  # nobody came to listen
    assert windows.take("late") is None


def test_a_drawing_is_over_when_its_window_leaves_or_stops_it(windows):
    windows.take("a")
    with windows.listening("a"):
        assert not windows.is_over("a")
    assert windows.is_over("a")
    windows.take("b")
    windows.stop("b")
    assert windows.is_over("b")
    assert windows.take("a") is None


def test_a_window_that_never_listens_is_given_up(windows, clock):
    windows.take("a")
    assert not windows.is_over("a")
    clock.now += GRACE_SECONDS + 1
    assert windows.is_over("a")
    assert not windows.wait("a")


def test_a_drawing_asked_for_while_the_stream_of_the_one_before_ends_is_kept(windows, clock):
    with windows.listening("a"):
        clock.now += 1
        windows.take("a")
    assert not windows.is_over("a")


def test_a_window_that_does_not_take_its_answers_does_not_hear(windows):
    with windows.listening("a") as stream:
        assert windows.hears("a")
        stream.is_full = True
        assert not windows.hears("a")
    assert not windows.hears("a")


def test_others_that_wait_are_seen_until_they_leave(windows, clock):
    windows.take("a")
    assert windows.is_alone("a")
    windows.take("b")
    assert not windows.is_alone("a")
    clock.now += GRACE_SECONDS + 1
    assert windows.is_alone("a")
