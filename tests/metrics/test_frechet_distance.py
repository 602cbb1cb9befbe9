"""The Fréchet distance against closed forms and torch-fidelity's own computation."""

from __future__ import annotations

import pytest
import torch
from support.known import known

from facegen.compat import guard_torchvision
from facegen.errors import DataError
from facegen.metrics import ReferenceFeatures
from facegen.metrics._frechet import times_root
from facegen.metrics.fid import Config, FeatureStatistics, build, distances_growing, frechet_distance


def exact_statistics(mean: torch.Tensor, covariance: torch.Tensor) -> FeatureStatistics:
    return FeatureStatistics(mean.double(), torch.linalg.cholesky(covariance.double()).T, 1000)


def features(num_samples: int, num_features: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(num_features, num_features, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(num_samples, num_features, generator=generator)
    return torch.relu(noise @ mixing / num_features**0.5 + 0.1 * seed)


def test_gaussians_with_diagonal_covariances_have_the_closed_form_distance():
    a = exact_statistics(torch.tensor([0.0, 1.0, 2.0]), torch.diag(torch.tensor([1.0, 4.0, 9.0])))
    b = exact_statistics(torch.tensor([1.0, 1.0, 0.0]), torch.diag(torch.tensor([4.0, 4.0, 1.0])))
    # |mean difference|^2 + sum (sigma_a - sigma_b)^2
    assert frechet_distance(a, b) == pytest.approx((1 + 4) + (1 + 0 + 4), rel=1e-12)


def test_rotated_gaussian_has_the_distance_of_the_matrix_square_root():
    rotation, _ = torch.linalg.qr(
        torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    )
    first = torch.diag(torch.arange(1.0, 6.0, dtype=torch.float64))
    second = rotation @ torch.diag(torch.linspace(0.5, 3, 5, dtype=torch.float64)) @ rotation.T
    values, _ = torch.linalg.eigh(first.sqrt() @ second @ first.sqrt())
    expected = first.trace() + second.trace() - 2 * values.sqrt().sum()
    zero = torch.zeros(5)
    distance = frechet_distance(exact_statistics(zero, first), exact_statistics(zero, second))
    assert distance == pytest.approx(float(expected), rel=1e-10)


def test_a_set_has_no_distance_from_itself():
    statistics = FeatureStatistics.of(features(200, 16, 1))
    assert frechet_distance(statistics, statistics) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("num_a", "num_b"), [(300, 400), (30, 400), (30, 40), (64, 65)])
def test_distance_equals_torch_fidelitys_on_the_same_features(num_a: int, num_b: int):
    guard_torchvision()
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    a, b = features(num_a, 64, 1), features(num_b, 64, 2)
    theirs = fid_statistics_to_metric(
        fid_features_to_statistics(a.double()), fid_features_to_statistics(b.double()), verbose=False
    )["frechet_inception_distance"]
    ours = frechet_distance(FeatureStatistics.of(a), FeatureStatistics.of(b))
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_constant_features_do_not_break_the_square_root():
    plain = features(100, 8, 1)
    padded = torch.cat([plain, torch.full((100, 3), 7.0)], dim=1)
    other = features(90, 8, 2)
    other_padded = torch.cat([other, torch.full((90, 3), 7.0)], dim=1)
    expected = frechet_distance(FeatureStatistics.of(plain), FeatureStatistics.of(other))
    assert frechet_distance(
        FeatureStatistics.of(padded), FeatureStatistics.of(other_padded)
    ) == pytest.approx(expected, rel=1e-6)


def test_statistics_do_not_depend_on_the_chunk_size(monkeypatch: pytest.MonkeyPatch):
    whole = FeatureStatistics.of(features(100, 8, 1))
    monkeypatch.setattr("facegen.metrics._frechet.CHUNK_SAMPLES", 7)
    chunked = FeatureStatistics.of(features(100, 8, 1))
    torch.testing.assert_close(whole.root, chunked.root)
    torch.testing.assert_close(chunked.root.T @ chunked.root, features(100, 8, 1).double().T.cov())


def test_non_finite_features_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        FeatureStatistics.of(torch.full((4, 2), float("nan")))


def test_the_metric_is_the_distance_with_its_interval():
    reference = ReferenceFeatures.of(features(50, 3, 2))
    colours = torch.rand(40, 3, generator=torch.Generator().manual_seed(0))
    found = build(Config(), reference=reference).judge(colours)["fid"]
    assert found.value == pytest.approx(frechet_distance(FeatureStatistics.of(colours), reference.statistics))
    assert known(found.low) < known(found.estimate) < known(found.high)


def test_metric_without_images_says_so():
    with pytest.raises(DataError, match=r"0 images are too few.*at least 16"):
        build.check_count(0, "There")


@pytest.mark.parametrize("num_reference", [400, 5])
def test_distances_of_a_growing_set_are_those_of_each_part(num_reference: int):
    features = 100 + torch.randn(700, 6, generator=torch.Generator().manual_seed(0)) * torch.arange(1.0, 7.0)
    reference = FeatureStatistics.of(features[:num_reference] * 1.2)
    sizes = [20, 21, 400, 700]
    alone = [frechet_distance(FeatureStatistics.of(features[:size]), reference) for size in sizes]
    assert list(distances_growing(features, torch.arange(700), sizes, reference)) == pytest.approx(
        alone, rel=1e-8
    )


def test_a_square_root_that_is_no_triangle_is_multiplied_whole():
    rows, root = torch.randn(9, 5, generator=torch.Generator().manual_seed(0)).double().split([4, 5])
    torch.testing.assert_close(times_root(rows, root), rows @ root.T)
    torch.testing.assert_close(times_root(rows, root.triu()), rows @ root.triu().T)
