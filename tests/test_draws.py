"""Random numbers that belong to samples: their distributions, and what they do and do not depend on."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from support.draws import draws_of

from facegen.draws import Draws, _above_zero, _words, uniform
from facegen.nn.sample_dropout import SampleDropout, with_sample_dropout

SHAPES = st.lists(st.integers(1, 9), max_size=3).map(tuple)


@given(st.integers(0, 2**62), st.integers(1, 40), st.data(), SHAPES)
def test_a_samples_numbers_are_its_own_in_any_batch(
    seed: int, count: int, data: st.DataObject, shape: tuple[int, ...]
) -> None:
    start = data.draw(st.integers(0, count - 1))
    part = torch.arange(start, data.draw(st.integers(start + 1, count)))
    whole, some = Draws(seed, torch.arange(count)), Draws(seed, part)
    for _ in range(2):
        assert torch.equal(whole.normal(*shape)[part], some.normal(*shape))
        assert torch.equal(whole.uniform(*shape)[part], some.uniform(*shape))
    assert whole.normal(*shape).shape == (count, *shape)


def test_numbers_have_their_distributions() -> None:
    draws = draws_of(64)
    normal, even = draws.normal(4, 32, 32).flatten(), draws.uniform(4096).flatten()
    assert stats.kstest(normal.double().numpy(), "norm").pvalue > 0.01
    assert stats.kstest(even.double().numpy(), "uniform").pvalue > 0.01
    assert 4.3 < normal.abs().max() < 7
    assert 0 <= even.min() < even.max() < 1
    assert stats.chisquare(torch.histc(even, 1000, 0, 1).double().numpy()).pvalue > 0.01


def test_samples_places_calls_and_seeds_are_unrelated() -> None:
    draws = draws_of(256)
    first, second = draws.normal(1024), draws.normal(1024)
    others = [
        second,
        draws_of(256, seed=1).normal(1024),
        Draws(0, torch.arange(256, 512)).normal(1024),
        first.roll(1, 0),
        first.roll(1, 1),
        first.roll(512, 1),
    ]
    for other in others:
        assert abs(float(torch.corrcoef(torch.stack([first.flatten(), other.flatten()]))[0, 1])) < 0.01
    between = torch.corrcoef(first).fill_diagonal_(0).abs()
    assert between.max() < 6 / 32
    assert float(between.mean()) == pytest.approx((2 / torch.pi) ** 0.5 / 32, rel=0.1)


def mixed(word: int) -> int:
    """SplitMix64's finaliser, as its authors write it."""
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ word >> 27) * 0x94D049BB133111EB % 2**64
    return word ^ word >> 31


@pytest.mark.parametrize("key", [0, 7, 2**63 - 1, -1, -(2**63)])
def test_numbers_are_those_of_the_hash_that_is_named(key: int) -> None:
    words = [mixed(mixed(place * 0x9E3779B97F4A7C15 % 2**64) ^ key % 2**64) for place in range(1, 6)]
    even = uniform(torch.tensor([key]), 5)
    assert even[0].tolist() == [(word >> 40) / 2**24 for word in words]
    halves = [word >> 32 for word in words], [word % 2**32 for word in words]
    for high, numbers in zip((True, False), halves, strict=True):
        expected = torch.tensor(numbers, dtype=torch.float64).float().add(0.5) / 2**32
        assert torch.equal(_above_zero(_words(torch.tensor([key]), 5), high=high)[0], expected)


def test_every_bit_is_set_half_of_the_time() -> None:
    even = uniform(torch.arange(1 << 16), 1)
    bits = (even.mul(1 << 24).long() >> torch.arange(24)) & 1
    assert (bits.double().mean(0) - 0.5).abs().max() < 0.01


def test_dropout_belongs_to_samples_and_has_its_rate() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Dropout(0.25), torch.nn.Dropout(0.0))
    (layer,) = with_sample_dropout(module)
    assert isinstance(module[1], SampleDropout)
    assert isinstance(module[2], torch.nn.Dropout)
    x = torch.ones(64, 5, 100)
    assert torch.equal(layer(x), x)  # no keys
    layer.keys = draws_of(64).keys()
    dropped = layer(x)
    assert set(dropped.unique().tolist()) == {0.0, float(torch.tensor(1.0) / 0.75)}
    assert float((dropped == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    layer.keys = draws_of(64).keys()[16:32]
    assert torch.equal(layer(x[16:32]), dropped[16:32])
    assert torch.equal(layer(x[16:32].reshape(80, 100)), dropped[16:32].reshape(80, 100))
    layer.eval()
    assert torch.equal(layer(x), x)
