"""KID, Inception score and precision/recall against torch-fidelity, and how sure each says it is."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from support.known import known

from facegen.compat import guard_torchvision
from facegen.config.kinds import load_kind
from facegen.errors import DataError
from facegen.metrics import (
    Z95,
    ReferenceFeatures,
    inception_score,
    kid,
    precision_recall,
    wilson_interval,
)
from facegen.metrics.kid import kernel_estimate
from facegen.metrics.precision_recall import share_score

FEATURE_KINDS = ("cmmd", "fid", "inception_score", "kid", "mind", "precision_recall")


def draw(count: int, width: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    """ReLU features, as networks give them."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=torch.Generator().manual_seed(0)) / width**0.5
    return torch.relu(torch.randn(count, width, generator=generator) @ mixing + shift)


def kernel_distance(reference: torch.Tensor, **settings: Any) -> kid.KernelDistance:
    return kid.build(kid.Config(**settings), reference=ReferenceFeatures.of(reference))


def neighbourhoods(reference: torch.Tensor) -> precision_recall.PrecisionRecall:
    return precision_recall.build(precision_recall.Config(), reference=ReferenceFeatures.of(reference))


@pytest.mark.parametrize(("n", "m", "size"), [(300, 200, 100), (150, 150, 150), (1200, 1100, 1000)])
def test_kid_is_torch_fidelitys_on_the_same_subsets(n: int, m: int, size: int) -> None:
    guard_torchvision()
    from torch_fidelity.metric_kid import kid_features_to_metric

    ours, theirs = draw(n, 48, 1, 0.1), draw(m, 48, 2)
    expected = kid_features_to_metric(
        ours, theirs, kid_subsets=5, kid_subset_size=size, rng_seed=2020, verbose=False
    )
    score = kernel_distance(theirs, subsets=5, subset_size=size).judge(ours)["kid"]
    assert score.value == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-6)
    assert score.spread == pytest.approx(expected["kernel_inception_distance_std"], rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("splits", [1, 3, 10])
def test_inception_score_is_torch_fidelitys(splits: int) -> None:
    guard_torchvision()
    from torch_fidelity.metric_isc import isc_features_to_metric

    features, weights = draw(205, 32, 1), torch.randn(20, 32, generator=torch.Generator().manual_seed(4))
    expected = isc_features_to_metric(features @ weights.T, splits)
    config = inception_score.Config(splits=splits)
    score = inception_score.build(config, class_weights=weights).judge(features)
    found = score["inception_score"]
    assert found.value == pytest.approx(expected["inception_score_mean"], rel=1e-9)
    assert found.spread == pytest.approx(expected["inception_score_std"], rel=1e-9)
    assert (found.low is None) == (splits == 1)


@pytest.mark.parametrize("in_parts", [True, False])
def test_precision_and_recall_are_torch_fidelitys(in_parts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    guard_torchvision()
    from torch_fidelity.metric_prc import prc_features_to_metric

    if in_parts:
        monkeypatch.setattr("facegen.metrics.precision_recall.CHUNK", 64)
    ours, theirs = draw(300, 24, 1, 0.3), draw(250, 24, 2)
    expected = prc_features_to_metric(ours, theirs, verbose=False)
    found = neighbourhoods(theirs).judge(ours)
    assert found["precision"].value == pytest.approx(expected["precision"], rel=1e-6)
    assert found["recall"].value == pytest.approx(expected["recall"], rel=1e-6)


def test_density_and_coverage_follow_their_definition() -> None:
    real, fake = draw(40, 4, 1), draw(30, 4, 2, 0.2)
    to_real = torch.cdist(real, real).sort(1).values[:, 5]
    inside = torch.cdist(fake, real) < to_real
    found = neighbourhoods(real).judge(fake)
    assert found["density"].value == pytest.approx(float(inside.sum() / (5 * len(fake))))
    assert found["coverage"].value == pytest.approx(float(inside.any(0).float().mean()))


def test_copies_of_real_images_are_precise_and_one_image_covers_little() -> None:
    real = draw(100, 8, 1)
    copies = neighbourhoods(real).values(real)
    assert copies["precision"] == copies["recall"] == copies["coverage"] == 1
    collapsed = neighbourhoods(real).values(real[:1].repeat(50, 1) + 1e-4 * torch.rand(50, 8))
    assert collapsed["precision"] == 1
    assert collapsed["recall"] < 0.1
    assert collapsed["coverage"] < 0.3


def test_kid_estimate_is_the_u_statistic_over_all_pairs() -> None:
    x, y = draw(30, 6, 1, 0.2).double(), draw(25, 6, 2).double()
    kernel = lambda a, b: (a @ b.T / 6 + 1) ** 3  # noqa: E731
    xx, yy = kernel(x, x), kernel(y, y)
    expected = (
        (xx.sum() - xx.trace()) / (30 * 29) + (yy.sum() - yy.trace()) / (25 * 24) - 2 * kernel(x, y).mean()
    )
    assert kernel_estimate(x.float(), y.float())[0] == pytest.approx(float(expected), rel=1e-4)


def test_kid_interval_covers_the_known_distance() -> None:
    """Of 400 draws of 60 and 80 Gaussian features; the truth from 100,000 pairs."""
    width, draws, hits = 6, 400, 0
    shift = torch.full((width,), 0.4)
    generator = torch.Generator().manual_seed(3)
    many = torch.randn(200_000, width, generator=generator, dtype=torch.float64)

    def mean_kernel(a: torch.Tensor, b: torch.Tensor) -> float:
        return float(((many[:100_000] + a) * (many[100_000:] + b)).sum(1).div(width).add(1).pow(3).mean())

    zero = torch.zeros(width)
    truth = mean_kernel(zero, zero) + mean_kernel(shift, shift) - 2 * mean_kernel(zero, shift)
    for _ in range(draws):
        x = torch.randn(60, width, generator=generator)
        y = torch.randn(80, width, generator=generator) + shift
        estimate, error = kernel_estimate(x, y)
        hits += abs(estimate - truth) <= 1.96 * error
    assert 0.92 <= hits / draws <= 0.98


def test_wilsons_interval_is_as_tabled_and_never_leaves_the_unit() -> None:
    score = share_score(torch.tensor([True] * 8 + [False] * 2), "")
    assert (score.low, score.high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    nothing = share_score(torch.zeros(20, dtype=torch.bool), "")
    assert nothing.low == 0
    assert nothing.high == pytest.approx(0.1611, abs=1e-4)


@pytest.mark.parametrize(("hits", "count"), [(0, 20), (1, 7), (8, 10), (64, 64), (499, 50_000)])
def test_wilsons_interval_is_its_formula(hits: int, count: int) -> None:
    z2, share = Z95**2, hits / count
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    reach = (z2 * share * (1 - share) / count + z2**2 / (4 * count**2)) ** 0.5 / (1 + z2 / count)
    assert wilson_interval(hits, count) == pytest.approx((middle - reach, middle + reach), abs=1e-9)


@pytest.mark.parametrize(("splits", "expected"), [(5, 2.7764), (10, 2.2622), (30, 2.0452)])
def test_an_inception_score_is_as_sure_as_students_points_are_tabled(splits: int, expected: float) -> None:
    config, weights = inception_score.Config(splits=splits), draw(20, 32, 4)
    found = inception_score.build(config, class_weights=weights).judge(draw(300, 32, 1))["inception_score"]
    assert known(found.high) - found.value == pytest.approx(expected * known(found.standard_error), rel=1e-4)


@pytest.mark.parametrize("kind", FEATURE_KINDS)
def test_too_few_images_are_refused_with_number_and_reason(kind: str) -> None:
    build: Any = load_kind("metrics", kind).build
    with pytest.raises(DataError, match=r"5 images are too few for .*at least \d+ are needed"):
        build.check_count(5, "'folder'")


@pytest.mark.parametrize("kind", FEATURE_KINDS)
def test_every_score_lies_in_an_interval_of_what_it_names(kind: str) -> None:
    module = load_kind("metrics", kind)
    wired = {"reference": ReferenceFeatures.of(draw(80, 3, 2))}
    if kind == "inception_score":
        wired = {"class_weights": torch.randn(4, 3, generator=torch.Generator().manual_seed(0))}
    colours = torch.rand(64, 3, generator=torch.Generator().manual_seed(1))
    scores = module.build(module.Config(kind=kind), **wired).judge(colours)
    assert scores
    for name, score in scores.items():
        assert math.isfinite(score.value)
        assert score.interval_of
        if name == "coverage":  # none is known that holds the truth in 95 of 100 draws
            assert score.low is score.high is None
        else:
            assert score.low <= score.estimate <= score.high


def test_fewer_images_than_a_kid_subset_are_told() -> None:
    metric = kernel_distance(draw(200, 4, 1))
    assert "subsets of 50" in metric.remarks(50, 4)[0]
    assert metric.settings(50)["kid_subset_size"] == 50
    assert not kernel_distance(draw(2000, 4, 1)).remarks(2000, 4)
