"""A long training on a CPU is timed compiled as well; what cannot be compiled trains as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from facegen.config.composition import compose
from facegen.config.recipe import Recipe
from facegen.making import speed
from facegen.making.speed import Speed, measure_speed
from facegen.training.compiling import WORTH_TRYING_SECONDS

LONG = WORTH_TRYING_SECONDS["cpu"]


@pytest.mark.parametrize(
    ("seconds", "compiled", "expected"),
    [
        (LONG, 3.0, Speed(1, 3.0, compiled=True)),
        (LONG, 1.0, Speed(1, 2.0)),
        (LONG, RuntimeError("no compiler"), Speed(1, 2.0)),
        (LONG - 1, 3.0, Speed(1, 2.0)),
    ],
)
def test_the_faster_way_is_found(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    seconds: float,
    compiled: float | Exception,
    expected: Speed,
) -> None:
    def rate(recipe: Recipe, folder: Path) -> float:
        if recipe.training.compile is not True:
            return 2.0
        if isinstance(compiled, Exception):
            raise compiled
        return compiled

    monkeypatch.setattr(speed, "_steps_per_second", rate)
    monkeypatch.setattr(speed.torch, "get_num_threads", lambda: 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert measure_speed(compose("flow-dit"), tmp_path, seconds) == expected
