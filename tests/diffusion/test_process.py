import math
from typing import Any

import pytest
import torch

from facegen.compat import guard_torchvision
from facegen.config.recipe import DiffusionConfig
from facegen.diffusion.process import Process

PARAMETERISATIONS = ["eps", "v", "x0", "flow"]


def process_of(**settings: Any) -> Process:
    return Process(**DiffusionConfig(**settings).values())


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squared_cosine"])
def test_alphas_equal_those_of_diffusers(schedule):
    guard_torchvision()
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    theirs = DDPMScheduler(beta_schedule=schedule.replace("squared_cosine", "squaredcos_cap_v2"))
    alpha, sigma = process_of(schedule=schedule).alpha_sigma(torch.arange(1000.0))
    assert alpha.dtype == torch.float32
    # diffusers multiplies a thousand float32 factors; ours is float64 until the end
    torch.testing.assert_close(alpha**2, theirs.alphas_cumprod, rtol=2e-4, atol=0)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(1000), rtol=0, atol=1e-6)


def test_alphas_equal_the_float64_product():
    alpha, _ = process_of().alpha_sigma(torch.arange(1000, dtype=torch.float64))
    expected = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    torch.testing.assert_close(alpha**2, expected, rtol=1e-12, atol=0)


def test_noise_grows_with_the_timestep_between_whole_ones_too():
    for parameterisation in ("eps", "flow"):
        process = process_of(parameterisation=parameterisation)
        alpha, sigma = process.alpha_sigma(
            torch.linspace(0, process.last_timestep, 5000, dtype=torch.float64)
        )
        assert (sigma.diff() > 0).all()
        assert (alpha.diff() < 0).all()


def test_flow_runs_straight_from_data_to_noise():
    process = process_of(parameterisation="flow")
    alpha, sigma = process.alpha_sigma(torch.tensor([0.0, 250.0, 1000.0]))
    assert alpha.tolist() == [1.0, 0.75, 0.0]
    assert sigma.tolist() == [0.0, 0.25, 1.0]


@pytest.mark.parametrize("parameterisation", PARAMETERISATIONS)
def test_a_perfect_network_gives_back_x0_and_eps(parameterisation):
    process = process_of(parameterisation=parameterisation)
    x0, noise = torch.randn(2, 5, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    timestep = torch.tensor([1.0, 100.0, 500.5, 800.0, 998.0], dtype=torch.float64)
    x_t = process.add_noise(x0, noise, timestep)
    prediction = process.prediction(process.target(x0, noise, timestep), x_t, timestep)
    torch.testing.assert_close(prediction.x0, x0, rtol=0, atol=1e-9)
    torch.testing.assert_close(prediction.eps, noise, rtol=0, atol=1e-9)


def test_flow_reads_pure_noise_without_dividing_by_zero():
    process = process_of(parameterisation="flow")
    x0, noise = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(1))
    prediction = process.prediction(noise - x0, noise, torch.tensor([1000.0]))
    torch.testing.assert_close(prediction.x0, x0)
    torch.testing.assert_close(prediction.eps, noise)


@pytest.mark.parametrize("parameterisation", PARAMETERISATIONS)
def test_min_snr_weighs_the_same_error_in_x0_alike_for_every_parameterisation(parameterisation):
    gamma = 5.0
    process = Process(
        **DiffusionConfig(
            parameterisation=parameterisation, weighting="min_snr", min_snr_gamma=gamma
        ).values()
    )
    timestep = torch.tensor([20.0, 200.0, 500.0, 900.0])
    alpha, sigma = process.alpha_sigma(timestep)
    x_t, output = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(2))
    error = 0.01 * torch.ones_like(output)
    x0_error = (
        process.prediction(output + error, x_t, timestep).x0 - process.prediction(output, x_t, timestep).x0
    )
    weighted = process.loss_weight(timestep) * (error**2).mean(1)
    expected = ((alpha / sigma) ** 2).clamp(max=gamma) * (x0_error**2).mean(1)
    torch.testing.assert_close(weighted, expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("parameterisation", PARAMETERISATIONS)
def test_weights_are_finite_at_both_ends(parameterisation):
    process = process_of(parameterisation=parameterisation, weighting="min_snr")
    assert process.loss_weight(torch.tensor([0.0, process.last_timestep])).isfinite().all()


def test_without_weighting_every_sample_counts_one():
    assert process_of().loss_weight(torch.tensor([0.0, 999.0])).tolist() == [
        1.0,
        1.0,
    ]


@pytest.mark.parametrize("density", ["uniform", "logit_normal"])
def test_discrete_timesteps_are_whole_and_reach_both_ends(density):
    process = process_of(num_timesteps=10, timesteps=density, logit_normal_std=3.0)
    drawn = process.sample_timesteps(2000, torch.Generator().manual_seed(0))
    assert drawn.dtype == torch.float32
    assert sorted(set(drawn.tolist())) == [float(t) for t in range(10)]


def test_logit_normal_timesteps_have_the_configured_median_and_quartiles():
    config = DiffusionConfig(
        parameterisation="flow", timesteps="logit_normal", logit_normal_mean=0.5, logit_normal_std=0.8
    )
    drawn = Process(**config.values()).sample_timesteps(40_000, torch.Generator().manual_seed(0)) / 1000
    for share, quantile in ((0.25, -0.6745), (0.5, 0.0), (0.75, 0.6745)):
        expected = 1 / (1 + math.exp(-(0.5 + 0.8 * quantile)))
        assert float(drawn.quantile(share)) == pytest.approx(expected, abs=0.01)


def test_the_same_generator_draws_the_same_timesteps():
    process = process_of()
    first, second = (process.sample_timesteps(8, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)


def test_validation_levels_are_spread_evenly():
    assert process_of().noise_levels(4).tolist() == [125.0, 375.0, 625.0, 875.0]
    assert process_of(parameterisation="flow").noise_levels(2).tolist() == [
        250.0,
        750.0,
    ]
