"""Erased boxes and mixed images: sizes, shares and what they leave alone."""

from __future__ import annotations

import pytest
import torch

from facegen.nn.augmentation import erased, mixed


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_an_erased_box_is_one_grey_rectangle_of_the_sizes_told():
    images = torch.ones(200, 3, 40, 40)
    for image in erased(images, 1.0, seeded()):
        gone = image[0] == 0
        assert torch.equal(gone, image[2] == 0)
        rows, columns = gone.any(1).nonzero().flatten(), gone.any(0).nonzero().flatten()
        assert gone[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert 4 <= len(rows) <= 17
        assert 4 <= len(columns) <= 17


def test_as_many_images_are_erased_as_the_probability_says():
    out = erased(torch.ones(2000, 1, 16, 16), 0.3, seeded())
    assert float((out == 0).flatten(1).any(1).float().mean()) == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_have_the_mean_and_variance_of_the_beta_distribution(alpha: float):
    count = 20_000
    generator = seeded(3)
    images = torch.zeros(count, 1, 1, 1)
    targets = torch.arange(count)[:, None].double()
    _, once = mixed(images, targets, alpha, generator)
    marked = torch.nn.functional.one_hot(torch.arange(8)).double()
    shares = torch.cat(
        [mixed(torch.zeros(8, 1, 1, 1), marked, alpha, generator)[1].diag() for _ in range(800)]
    )
    inner = shares[shares < 1]  # those mixed with themselves are left out
    assert float(inner.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(inner.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.15)
    assert torch.isfinite(once).all()


def test_images_and_targets_are_mixed_alike_and_unknown_stays_unknown():
    targets = torch.tensor([[0.0], [1.0], [0.25], [torch.nan]])
    images = torch.tensor([0.0, 1.0, 0.25, 0.5]).view(4, 1, 1, 1)
    for seed in range(20):
        mixed_images, mixed_targets = mixed(images, targets, 0.4, seeded(seed))
        known = ~torch.isnan(mixed_targets[:, 0])
        torch.testing.assert_close(mixed_images[known, 0, 0, 0], mixed_targets[known, 0])
        assert not known[3]
