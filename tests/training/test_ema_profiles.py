"""Profiles against closed forms, numerical integration and the update that makes them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from facegen.training.ema_profiles import (
    LARGEST_WIDTH,
    Profile,
    exponent_of,
    fit_profile,
    inner_products,
    update_weight,
    width_of,
)

KEPT = [Profile(width, updates) for updates in range(100, 3201, 100) for width in (0.05, 0.1)]


def density(profile: Profile, time: float) -> float:
    gamma, end = profile.exponent, profile.updates
    return 0.0 if time > end else (gamma + 1) * (time / end) ** gamma / end


@given(st.floats(0.005, LARGEST_WIDTH))
def test_the_exponent_is_the_inverse_of_the_width(width: float) -> None:
    assert exponent_of(width) >= 0
    assert width_of(exponent_of(width)) == pytest.approx(width, rel=1e-9)


@pytest.mark.parametrize(("width", "exponent"), [(0.05, 16.97), (0.1, 6.94), (LARGEST_WIDTH, 0.0)])
def test_exponents_are_those_of_the_paper(width: float, exponent: float) -> None:
    assert exponent_of(width) == pytest.approx(exponent, abs=0.005)


@pytest.mark.parametrize("width", [0.0, -0.1, 0.289, math.inf, math.nan])
def test_a_width_that_no_profile_has_is_refused(width: float) -> None:
    with pytest.raises(ValueError, match=r"at most 0\.2887"):
        exponent_of(width)


@given(st.floats(0.02, 0.28), st.integers(1, 5000))
def test_the_width_is_the_standard_deviation_of_the_profile_as_a_share_of_time(width: float, end: int):
    profile = Profile(width, end)
    total, mean, square = (
        quad(lambda tau, power=power: (tau / end) ** power * density(profile, tau), 0, end)[0]
        for power in range(3)
    )
    assert total == pytest.approx(1, rel=1e-6)
    assert math.sqrt(square - mean**2) == pytest.approx(width, rel=1e-4)


@given(st.floats(0.02, 0.28), st.floats(0.02, 0.28), st.integers(1, 100), st.integers(1, 100))
def test_inner_products_are_integrals(width_a: float, width_b: float, end_a: int, end_b: int) -> None:
    a, b = Profile(width_a, end_a), Profile(width_b, end_b)
    shorter = min(end_a, end_b)
    expected, _ = quad(lambda tau: density(a, tau) * density(b, tau), 0, shorter, points=[0.9 * shorter])
    assert inner_products([a], [b]).item() == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_long_trainings_stay_within_float64() -> None:
    profiles = [Profile(width, updates) for updates in (1, 10**6, 10**9) for width in (0.01, 0.25)]
    products = inner_products(profiles, profiles)
    assert np.isfinite(products).all()
    assert np.linalg.eigvalsh(products).min() > 0


@pytest.mark.parametrize("width", [0.01, 0.05, 0.1, 0.25])
def test_updates_weigh_each_step_by_the_profile_over_it(width: float) -> None:
    """The share of step s after t updates is the integral of p from s - 1 to s: the update is exact."""
    gamma, end = exponent_of(width), 200
    shares = np.zeros(end)
    for update in range(1, end + 1):
        newest = float(update_weight(torch.tensor(update, dtype=torch.float64), gamma))
        shares *= 1 - newest
        shares[update - 1] += newest
    steps = np.arange(end + 1) / end
    np.testing.assert_allclose(shares, np.diff(steps ** (gamma + 1)), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("index", [0, 37, 62, 63])
def test_a_profile_that_was_kept_is_made_of_itself_alone(index: int) -> None:
    fit = fit_profile(KEPT, KEPT[index])
    np.testing.assert_allclose(fit.coefficients, np.eye(len(KEPT))[index], atol=1e-6)
    assert fit.error < 1e-6


@settings(max_examples=20)
@given(st.floats(0.02, 0.28))
def test_coefficients_sum_to_one_and_the_error_is_the_distance_left(width: float) -> None:
    wanted = Profile(width, 3200)
    fit = fit_profile(KEPT, wanted)
    assert fit.coefficients.sum() == pytest.approx(1, abs=1e-9)
    times = (np.arange(12_800) + 0.5) / 4
    made = sum(c * one for c, one in zip(fit.coefficients, densities(KEPT, times), strict=True))
    exact = densities([wanted], times)[0]
    left = np.linalg.norm(made - exact) / np.linalg.norm(exact)
    assert fit.error == pytest.approx(float(left), rel=0.02, abs=1e-5)


def test_widths_between_and_around_those_kept_are_met_closely() -> None:
    errors = {width: fit_profile(KEPT, Profile(width, 3200)).error for width in (0.03, 0.07, 0.12, 0.2)}
    assert errors[0.07] < 1e-3
    assert errors[0.12] < 1e-3
    assert max(errors.values()) < 0.02
    assert fit_profile(KEPT, Profile(0.01, 3200)).error > 0.1


def densities(profiles: list[Profile], times: np.ndarray) -> np.ndarray:
    """Profiles (N, T) at many times."""
    shares = [np.where(times <= p.updates, times / p.updates, 0) ** p.exponent for p in profiles]
    return np.stack([(p.exponent + 1) / p.updates * s for p, s in zip(profiles, shares, strict=True)])
