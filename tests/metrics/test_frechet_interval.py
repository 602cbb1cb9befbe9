"""Whether the interval of a Fréchet distance holds the true distance as often as it says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from facegen.metrics import ReferenceFeatures
from facegen.metrics.fid import (
    Config,
    FeatureStatistics,
    build,
    extrapolate,
    frechet_distance,
    frechet_estimate,
)


class Gaussians:
    """Two Gaussians of `width` dimensions with a known distance, unequal by `shift` and `scale`."""

    def __init__(self, width: int, shift: float, scale: float) -> None:
        self.generator = torch.Generator().manual_seed(1)
        self.width = width
        self.first = self._mixing() + 0.5 * torch.eye(width, dtype=torch.float64)
        self.second = self.first * scale + (0.3 * self._mixing() if scale != 1 else 0)
        self.mean = torch.full((width,), shift / width**0.5, dtype=torch.float64)
        zero = torch.zeros(width, dtype=torch.float64)
        self.truth = frechet_distance(
            FeatureStatistics(zero, self.first, 10**9), FeatureStatistics(self.mean, self.second, 10**9)
        )

    def draw(self, n: int, m: int) -> tuple[Tensor, Tensor]:
        return self._noise(n) @ self.first, self._noise(m) @ self.second + self.mean

    def _mixing(self) -> Tensor:
        return self._noise(self.width) / self.width**0.5

    def _noise(self, count: int) -> Tensor:
        return torch.randn(count, self.width, generator=self.generator, dtype=torch.float64)


def coverage(pair: Gaussians, n: int, m: int, draws: int) -> float:
    hits = 0
    for _ in range(draws):
        a, b = pair.draw(n, m)
        found = frechet_estimate(FeatureStatistics.of(a), a, FeatureStatistics.of(b), b)
        assert found.unbiased
        hits += found.low <= pair.truth <= found.high
    return hits / draws


CASES = {
    "apart": (Gaussians(8, 1.0, 1.3), 400, 600),
    "few images": (Gaussians(8, 1.0, 1.3), 100, 150),
    "near": (Gaussians(8, 0.5, 1.0), 400, 600),
    "equal": (Gaussians(8, 0.0, 1.0), 400, 600),
}


def test_sets_of_one_distribution_are_nought_or_more_apart_and_nobody_is_sure_of_nought() -> None:
    pair, nought = Gaussians(4, 0.0, 1.0), 0
    for _ in range(200):
        a, b = pair.draw(60, 60)
        found = frechet_estimate(FeatureStatistics.of(a), a, FeatureStatistics.of(b), b)
        assert 0 <= found.low <= found.estimate <= found.high
        assert found.high > 0, "nobody knows that the distance is none"
        nought += found.estimate == 0
    assert nought > 50, "about half, as the bias taken off is the bias on average"


@pytest.mark.parametrize("case", CASES)
def test_the_interval_covers_the_known_distance_in_93_to_97_percent_of_1000_draws(case: str) -> None:
    assert 0.93 <= coverage(*CASES[case], draws=1000) <= 0.97


def test_the_interval_covers_a_known_distance_about_as_often_as_it_says() -> None:
    assert 0.90 <= coverage(Gaussians(4, 1.0, 1.3), 100, 150, draws=300) <= 0.99


def test_the_estimate_has_lost_the_bias_of_the_score() -> None:
    pair = Gaussians(8, 1.0, 1.3)
    values, estimates = [], []
    for _ in range(150):
        a, b = pair.draw(100, 150)
        found = frechet_estimate(FeatureStatistics.of(a), a, FeatureStatistics.of(b), b)
        assert found.value == pytest.approx(
            frechet_distance(FeatureStatistics.of(a), FeatureStatistics.of(b))
        )
        values.append(found.value)
        estimates.append(found.estimate)
    value, estimate = torch.tensor(values).mean(), torch.tensor(estimates).mean()
    assert value > 1.15 * pair.truth
    assert estimate == pytest.approx(pair.truth, rel=0.06)


def test_with_few_images_per_feature_the_interval_is_about_the_score_itself() -> None:
    pair = Gaussians(16, 1.0, 1.3)
    values, errors = [], []
    for _ in range(60):
        a, b = pair.draw(12, 200)
        found = frechet_estimate(FeatureStatistics.of(a), a, FeatureStatistics.of(b), b)
        assert not found.unbiased
        assert found.estimate == found.value
        assert found.value == pytest.approx(
            frechet_distance(FeatureStatistics.of(a), FeatureStatistics.of(b))
        )
        values.append(found.value)
        errors.append(found.standard_error)
    scatter = float(torch.tensor(values).std())
    assert 0.8 * scatter < torch.tensor(errors).mean() < 2.5 * scatter, "rather too wide than too narrow"


def test_a_part_of_the_features_says_as_much_about_the_scatter() -> None:
    a, b = Gaussians(8, 1.0, 1.3).draw(4000, 4000)
    whole = frechet_estimate(FeatureStatistics.of(a), a, FeatureStatistics.of(b), b)
    part = frechet_estimate(FeatureStatistics.of(a), a, FeatureStatistics.of(b), b[:2000])
    assert part.standard_error == pytest.approx(whole.standard_error, rel=0.05)
    assert part.estimate == pytest.approx(whole.estimate, rel=0.01)


def test_extrapolation_is_a_line_in_one_over_n_and_wants_enough_images() -> None:
    pair = Gaussians(8, 1.0, 1.3)
    exact = FeatureStatistics(pair.mean, pair.second, 10**9)
    limits, values = [], []
    for _ in range(30):
        a, _ = pair.draw(200, 2)
        values.append(frechet_distance(FeatureStatistics.of(a), exact))
        limit = extrapolate(a, exact, values[-1])
        assert limit is not None
        limits.append(limit)
    assert abs(torch.tensor(limits).mean() - pair.truth) < 0.5 * abs(torch.tensor(values).mean() - pair.truth)
    assert extrapolate(pair.draw(31, 2)[0], exact, 0.0) is None


def test_remarks_name_rank_deficiency_and_fall_silent_for_ample_samples() -> None:
    def remarks(num_samples: int, num_reference: int) -> list[str]:
        statistics = FeatureStatistics(torch.zeros(2048), torch.eye(1, 2048), num_reference)
        reference = ReferenceFeatures(statistics, torch.zeros(2, 2048))
        return build(Config(), reference=reference).remarks(num_samples, 2048)

    assert "rank-deficient" in remarks(500, 50_000)[0]
    assert "at least 8,192" in remarks(500, 50_000)[1]
    assert "reference has only" in remarks(50_000, 500)[0]
    assert remarks(50_000, 50_000) == []
