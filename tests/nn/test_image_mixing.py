"""Erased boxes and mixed images: sizes, shares and what they leave alone."""

from __future__ import annotations

import pytest
import torch
from support.draws import draws_of

from facegen.draws import Draws
from facegen.nn.augmentation import erased, mixed


def test_an_erased_box_is_one_grey_rectangle_of_the_sizes_told():
    images = torch.ones(200, 3, 40, 40)
    for image in erased(images, 1.0, draws_of(200)):
        gone = image[0] == 0
        assert torch.equal(gone, image[2] == 0)
        rows, columns = gone.any(1).nonzero().flatten(), gone.any(0).nonzero().flatten()
        assert gone[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert 4 <= len(rows) <= 17
        assert 4 <= len(columns) <= 17


def test_as_many_images_are_erased_as_the_probability_says():
    out = erased(torch.ones(2000, 1, 16, 16), 0.3, draws_of(2000))
    assert float((out == 0).flatten(1).any(1).float().mean()) == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_have_the_mean_and_variance_of_the_beta_distribution(alpha: float):
    count = 20_000
    images, targets = torch.zeros(count, 1, 1, 1), torch.eye(2).repeat(count // 2, 1)
    shares = mixed(images, targets, alpha, draws_of(count, 3))[1]
    assert torch.allclose(shares.sum(1), torch.ones(count))  # the rest is the neighbour's
    own = shares[torch.arange(count), torch.arange(count) % 2]
    assert float(own.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(own.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


def test_an_image_is_mixed_alike_in_any_part_of_a_batch_that_holds_its_neighbour():
    images, targets = torch.rand(10, 1, 4, 4), torch.arange(10.0)[:, None]
    whole = mixed(images, targets, 0.4, draws_of(10))
    part = mixed(images[4:8], targets[4:8], 0.4, Draws(0, torch.arange(4, 8)))
    assert all(torch.equal(some, all_[4:8]) for some, all_ in zip(part, whole, strict=True))
    alone = mixed(images[:3], targets[:3], 0.4, draws_of(3))
    assert torch.allclose(alone[0][2], images[2])  # without a neighbour


def test_images_and_targets_are_mixed_alike_and_unknown_stays_unknown():
    targets = torch.tensor([[0.0], [1.0], [0.25], [torch.nan]])
    images = torch.tensor([0.0, 1.0, 0.25, 0.5]).view(4, 1, 1, 1)
    for seed in range(20):
        mixed_images, mixed_targets = mixed(images, targets, 0.4, draws_of(4, seed))
        known = ~torch.isnan(mixed_targets[:, 0])
        torch.testing.assert_close(mixed_images[known, 0, 0, 0], mixed_targets[known, 0])
        assert not known[3]
