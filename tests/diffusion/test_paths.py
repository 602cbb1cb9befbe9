import math

import pytest
import torch

from facegen.diffusion.paths import Flow, VarianceExploding, VariancePreserving
from facegen.diffusion.schedules import betas_of

COSINE = VariancePreserving(lambda t: -2 * torch.log(torch.tan(torch.pi * t / 2)))
PATHS = [VariancePreserving.of_betas(betas_of("linear")), COSINE, Flow(), VarianceExploding()]
NAMES = ["discrete", "cosine", "flow", "exploding"]


def test_a_schedule_of_ones_own_is_a_function_of_time():
    time = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    alpha, sigma = COSINE.alpha_sigma(1000 * time)
    torch.testing.assert_close(alpha, torch.cos(math.pi * time / 2))
    torch.testing.assert_close(sigma, torch.sin(math.pi * time / 2))


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_slopes_are_those_of_small_differences(path):
    timestep = torch.tensor([50.3, 400.3, 900.3], dtype=torch.float64)
    slopes = path.slopes(timestep)
    ahead, behind = path.alpha_sigma(timestep + 1e-3), path.alpha_sigma(timestep - 1e-3)
    for slope, there, here in zip(slopes, ahead, behind, strict=True):
        torch.testing.assert_close(slope, (there - here) / 2e-3, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_float32_timesteps_give_float32_and_nearly_the_same(path):
    timestep = torch.tensor([10.0, 500.0, 990.0])
    for single, double in zip(path.alpha_sigma(timestep), path.alpha_sigma(timestep.double()), strict=True):
        assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
        torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-6)


def test_exploding_noise_starts_where_the_data_drown():
    path = VarianceExploding(smallest=0.01, largest=50.0, num_timesteps=10)
    alpha, sigma = path.alpha_sigma(torch.tensor([0.0, 5.0, 10.0], dtype=torch.float64))
    assert alpha.tolist() == [1.0] * 3
    torch.testing.assert_close(sigma, torch.tensor([0.01, (0.01 * 50) ** 0.5, 50.0], dtype=torch.float64))
    torch.testing.assert_close(path.start(torch.ones(2)), torch.full((2,), 50.0))


def test_fractions_become_whole_timesteps_on_a_discrete_path_alone():
    fractions = torch.tensor([0.0, 0.4567, 0.99999, 1.0])
    assert PATHS[0].timesteps(fractions).tolist() == [0.0, 456.0, 999.0, 999.0]
    assert Flow().timesteps(fractions).tolist() == pytest.approx([0.0, 456.7, 999.99, 1000.0], abs=1e-3)
