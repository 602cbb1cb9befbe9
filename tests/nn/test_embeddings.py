import math

import torch

from facegen.nn.embeddings import TimestepEmbedding, grid_positions, sinusoidal_embedding


def test_sinusoids_agree_with_the_formula_and_start_at_frequency_one() -> None:
    row = sinusoidal_embedding(torch.tensor([3.5]), 8)[0]
    for i in range(4):
        angle = 3.5 * 10000 ** (-i / 4)
        assert math.isclose(row[i], math.cos(angle), abs_tol=1e-5)
        assert math.isclose(row[4 + i], math.sin(angle), abs_tol=1e-5)


def test_fractional_timesteps_are_told_apart_and_kept_in_float32() -> None:
    embedding = TimestepEmbedding(16)
    low, high = embedding(torch.tensor([500.0, 500.5]))
    assert (low - high).abs().max() > 1e-4
    assert embedding(torch.tensor([500])).dtype == torch.float32


def test_grid_positions_are_row_major_and_unique() -> None:
    positions = grid_positions(3, 4, 16)
    assert positions.shape == (12, 16)
    grid = positions.view(3, 4, 16)
    assert torch.equal(grid[1, 0, :8], grid[1, 3, :8])  # one row
    assert torch.equal(grid[0, 2, 8:], grid[2, 2, 8:])  # one column
    distances = torch.cdist(positions, positions) + torch.eye(12)
    assert distances.min() > 0.1
