"""The studio's model on one core that something else keeps busy (fault 46)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.generator_parts import save_run

from facegen.studio.model_process import ModelProcess
from facegen.studio.state import Wish

LONG = Wish(prompt="a smiling man", count=16, steps=1000)


@pytest.fixture
def _one_busy_core() -> Iterator[None]:
    """This process, and those that it starts, have one core, which a loop has too."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system gives no process a core of its own")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as loop:
        yield
        loop.kill()
    os.sched_setaffinity(0, before)


@pytest.mark.slow
@pytest.mark.usefixtures("_one_busy_core")
def test_beside_a_busy_loop_on_one_core_words_are_read_and_a_stop_is_answered_within_a_second(
    tmp_path: Path,
) -> None:
    with ModelProcess(save_run(tmp_path), "cpu") as model:
        stops: list[float] = []
        for seen, _ in enumerate(model.draw(LONG, lambda: bool(stops)), 1):
            if seen == 1:
                asked = time.monotonic()
                assert model.read("a smiling man with glasses").refusal is None
                assert time.monotonic() - asked < 1
            if seen == 2:
                stops.append(time.monotonic())
        assert time.monotonic() - stops[0] < 1
