"""The spread of people is the mean over all pairs, and its interval holds the truth."""

from __future__ import annotations

import math

import pytest
import torch

from facegen.metrics import ReferenceFeatures
from facegen.metrics.diversity import Config, Diversity, group_spreads

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


def test_groups_of_the_same_people_are_seldom_called_narrower_and_a_narrow_one_always():
    named, held, caught, num_groups = 0, 0, 0, 6
    for seed in range(300):
        ours, real = drawn(120, 2 * seed), drawn(120, 2 * seed + 1)
        halves = torch.rand(120, num_groups, generator=torch.Generator().manual_seed(seed)) < 0.5
        groups = [(members, members) for members in halves.T]
        rows = group_spreads(ours, real, groups)
        named += any(row["narrower"] for row in rows)
        ends = rows[0]["difference"]
        assert ends is not None
        held += ends["low"] <= 0 <= ends["high"]
        ours[halves[:, 0]] /= 2
        caught += group_spreads(ours, real, groups)[0]["narrower"]
    assert named / 300 < 0.08
    assert 0.92 < held / 300 < 0.98
    assert caught == 300


def test_the_spread_of_a_group_is_that_of_its_members_alone():
    ours, real = drawn(40, 0), drawn(50, 1)
    first = torch.arange(40) < 20, torch.arange(50) < 16
    (row, small) = group_spreads(ours, real, [first, (torch.arange(40) < 15, first[1])])
    assert row["drawn"] is not None
    assert row["drawn"]["value"] == pytest.approx(float(torch.pdist(ours[:20].double()).mean()))
    assert row["real"] is not None
    assert row["real"]["value"] == pytest.approx(float(torch.pdist(real[:16].double()).mean()))
    assert small["drawn"] is None
