"""Timesteps that a caller chose."""

from __future__ import annotations

import pytest

from facegen.diffusion.paths import Flow
from facegen.diffusion.walk import at
from facegen.errors import UsageError


@pytest.mark.parametrize("chosen", [(500.0,), (1000.0,), (900.0, 10.5, 0.0)])
def test_any_that_fall_are_walked(chosen: tuple[float, ...]):
    assert at(*chosen)(Flow(), len(chosen)) == list(chosen)


@pytest.mark.parametrize("chosen", [(0.0,), (-1.0,), (1001.0,), (500.0, 500.0), (10.0, 500.0), (5.0, -5.0)])
def test_others_are_refused(chosen: tuple[float, ...]):
    with pytest.raises(UsageError, match="as many falling timesteps within 0 and 1000"):
        at(*chosen)(Flow(), len(chosen))
