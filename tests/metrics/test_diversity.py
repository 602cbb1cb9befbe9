"""The spread of people is the mean over all pairs, and its interval holds the truth."""

from __future__ import annotations

import math

import pytest
import torch

from facegen.metrics import ReferenceFeatures
from facegen.metrics.diversity import Config, Diversity

WIDTH = 3
TRUTH = 2 * math.gamma((WIDTH + 1) / 2) / math.gamma(WIDTH / 2)  # of two standard normal vectors


def drawn(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))


def judge() -> Diversity:
    return Diversity(Config(), reference=ReferenceFeatures.of(drawn(20, 1)))


def test_it_is_the_mean_distance_of_all_pairs():
    features = drawn(40, 0)
    score = judge().judge(features)["diversity"]
    assert score.value == pytest.approx(float(torch.pdist(features.double()).mean()), abs=1e-9)
    assert judge().values(features) == {"diversity": score.value}


def test_one_person_again_and_again_has_none():
    assert judge().judge(drawn(1, 0).expand(30, WIDTH))["diversity"].value == pytest.approx(0, abs=1e-9)


def test_its_interval_holds_the_truth():
    held = 0
    for seed in range(400):
        score = judge().judge(drawn(60, seed))["diversity"]
        assert score.low is not None
        assert score.high is not None
        held += score.low <= TRUTH <= score.high
    assert 0.92 < held / 400 < 0.98
