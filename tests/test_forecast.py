"""What a long command would take."""

from __future__ import annotations

import pytest
from support.forecast_parts import EACH_BYTES, EACH_SECONDS, dies, refuses, work

from facegen.errors import FacegenError, UsageError
from facegen.forecast import Forecast, forecast, measured


def test_what_items_cost_is_told_from_what_is_paid_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facegen.forecast.ENOUGH_SECONDS", 0.5)
    told = forecast(work, "images", 3000, first=40)
    assert told.disk_bytes == 1000 + 3000 * EACH_BYTES
    assert told.seconds == pytest.approx(3000 * EACH_SECONDS, rel=0.5)  # beside other busy programs
    assert told.memory_bytes > 5e6
    assert told.probed < 3000


def test_little_work_is_done_whole() -> None:
    told = forecast(work, "images", 5, first=3)
    assert (told.probed, told.disk_bytes) == (5, 1000 + 5 * EACH_BYTES)
    assert set(told.to_json()) == set(Forecast.__annotations__)


def test_what_the_work_refuses_is_refused_and_a_death_is_told() -> None:
    with pytest.raises(UsageError, match="The words mean nothing"):
        measured(refuses, 1)
    with pytest.raises(FacegenError, match="has ended"):
        measured(dies, 1)
