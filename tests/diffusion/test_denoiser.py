import math
from typing import Any

import pytest
import torch

from facegen.compat import guard_torchvision
from facegen.config.recipe import DiffusionConfig
from facegen.diffusion.denoiser import Denoiser, Objective
from facegen.diffusion.paths import Flow, VarianceExploding, VariancePreserving
from facegen.diffusion.schedules import betas_of
from facegen.diffusion.weighting import MinSnr
from facegen.models.objective import objective_of

PARAMETERISATIONS = ["eps", "v", "x0", "flow"]
PATHS = [VariancePreserving.of_betas(betas_of("linear")), Flow(), VarianceExploding()]


def asked_for(**settings: Any) -> Objective:
    return objective_of(DiffusionConfig(**settings))


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squared_cosine"])
def test_alphas_equal_those_of_diffusers(schedule):
    guard_torchvision()
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    theirs = DDPMScheduler(beta_schedule=schedule.replace("squared_cosine", "squaredcos_cap_v2"))
    alpha, sigma = asked_for(schedule=schedule).path.alpha_sigma(torch.arange(1000.0))
    assert alpha.dtype == torch.float32
    # diffusers multiplies a thousand float32 factors; ours is float64 until the end
    torch.testing.assert_close(alpha**2, theirs.alphas_cumprod, rtol=2e-4, atol=0)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(1000), rtol=0, atol=1e-6)


def test_the_sigmoid_schedule_falls_as_a_sigmoid_from_minus_three_to_three():
    betas = betas_of("sigmoid")
    times = torch.arange(1, 1000, dtype=torch.float64) / 1000
    high, low = torch.sigmoid(torch.tensor([3.0, -3.0], dtype=torch.float64))
    expected = (high - torch.sigmoid(6 * times - 3)) / (high - low)
    torch.testing.assert_close(torch.cumprod(1 - betas, 0)[:-1], expected, rtol=1e-10, atol=0)
    assert betas[-1] == 0.999  # to pure noise, which it would reach by 1
    of_the_peer = [3.002791974102692e-4, 3.3143641842271476e-3]  # of denoising-diffusion-pytorch 2.3.4
    assert betas[[0, 500]].tolist() == pytest.approx(of_the_peer, rel=1e-6)


def test_alphas_equal_the_float64_product():
    alpha, _ = asked_for().path.alpha_sigma(torch.arange(1000, dtype=torch.float64))
    expected = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    torch.testing.assert_close(alpha**2, expected, rtol=1e-12, atol=0)


def test_noise_grows_with_the_timestep_between_whole_ones_too():
    for parameterisation in ("eps", "flow"):
        objective = asked_for(parameterisation=parameterisation)
        alpha, sigma = objective.path.alpha_sigma(
            torch.linspace(0, objective.path.last_timestep, 5000, dtype=torch.float64)
        )
        assert (sigma.diff() > 0).all()
        assert (alpha.diff() < 0).all()


def test_flow_runs_straight_from_data_to_noise():
    objective = asked_for(parameterisation="flow")
    alpha, sigma = objective.path.alpha_sigma(torch.tensor([0.0, 250.0, 1000.0]))
    assert alpha.tolist() == [1.0, 0.75, 0.0]
    assert sigma.tolist() == [0.0, 0.25, 1.0]


@pytest.mark.parametrize("parameterisation", PARAMETERISATIONS)
def test_a_perfect_network_gives_back_x0_and_eps(parameterisation):
    objective = asked_for(parameterisation=parameterisation)
    x0, noise = torch.randn(2, 5, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    timestep = torch.tensor([1.0, 100.0, 500.5, 800.0, 998.0], dtype=torch.float64)
    x_t = objective.path.add_noise(x0, noise, timestep)
    prediction = objective.prediction(objective.target(x0, noise, timestep), x_t, timestep)
    torch.testing.assert_close(prediction.x0, x0, rtol=0, atol=1e-9)
    torch.testing.assert_close(prediction.eps, noise, rtol=0, atol=1e-9)


def test_flow_reads_pure_noise_without_dividing_by_zero():
    objective = asked_for(parameterisation="flow")
    x0, noise = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(1))
    prediction = objective.prediction(noise - x0, noise, torch.tensor([1000.0]))
    torch.testing.assert_close(prediction.x0, x0)
    torch.testing.assert_close(prediction.eps, noise)


@pytest.mark.parametrize("parameterisation", PARAMETERISATIONS)
def test_weights_are_finite_at_both_ends(parameterisation):
    objective = asked_for(parameterisation=parameterisation, weighting="min_snr")
    assert objective.loss_weight(torch.tensor([0.0, objective.path.last_timestep])).isfinite().all()


def test_without_weighting_every_sample_counts_one():
    assert asked_for().loss_weight(torch.tensor([0.0, 999.0])).tolist() == [
        1.0,
        1.0,
    ]


@pytest.mark.parametrize("density", ["uniform", "logit_normal"])
def test_discrete_timesteps_are_whole_and_reach_both_ends(density):
    objective = asked_for(num_timesteps=10, timesteps=density, logit_normal_std=3.0)
    drawn = objective.draw_timesteps(2000, torch.Generator().manual_seed(0))
    assert drawn.dtype == torch.float32
    assert sorted(set(drawn.tolist())) == [float(t) for t in range(10)]


def test_logit_normal_timesteps_have_the_configured_median_and_quartiles():
    config = DiffusionConfig(
        parameterisation="flow", timesteps="logit_normal", logit_normal_mean=0.5, logit_normal_std=0.8
    )
    drawn = objective_of(config).draw_timesteps(40_000, torch.Generator().manual_seed(0)) / 1000
    for share, quantile in ((0.25, -0.6745), (0.5, 0.0), (0.75, 0.6745)):
        expected = 1 / (1 + math.exp(-(0.5 + 0.8 * quantile)))
        assert float(drawn.quantile(share)) == pytest.approx(expected, abs=0.01)


def test_the_same_generator_draws_the_same_timesteps():
    objective = asked_for()
    first, second = (objective.draw_timesteps(8, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
@pytest.mark.parametrize("predicts", [*PARAMETERISATIONS, "edm"])
def test_any_prediction_can_be_read_on_any_path(path, predicts):
    objective = Objective(path, predicts, data_std=0.5)
    x0, noise = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    timestep = torch.tensor([1.0, 300.0, 700.0, 990.0], dtype=torch.float64)
    x_t = path.add_noise(x0, noise, timestep)
    prediction = objective.prediction(objective.target(x0, noise, timestep), x_t, timestep)
    torch.testing.assert_close(prediction.x0, x0, rtol=0, atol=1e-6)
    torch.testing.assert_close(prediction.eps, noise, rtol=0, atol=1e-6)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
@pytest.mark.parametrize("predicts", [*PARAMETERISATIONS, "edm"])
def test_a_weight_of_x0_means_the_same_whatever_is_predicted(path, predicts):
    objective = Objective(path, predicts, weight=MinSnr(5.0), data_std=0.5)
    timestep = torch.tensor([20.0, 200.0, 500.0, 900.0], dtype=torch.float64)
    alpha, sigma = path.alpha_sigma(timestep)
    x_t, output = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    off = 0.01 * torch.ones_like(output)
    wrong, right = (objective.prediction(each, x_t, timestep).x0 for each in (output + off, output))
    weighted = objective.loss_weight(timestep) * (off**2).mean(1)
    expected = ((alpha / sigma) ** 2).clamp(max=5.0) * ((wrong - right) ** 2).mean(1)
    torch.testing.assert_close(weighted.double(), expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("std", [0.5, 1.0])
def test_edm_is_the_preconditioning_of_karras_et_al(std):
    """Table 1: D(x; s) = c_skip x + c_out F(c_in x; .) on x = x_t / alpha, s = sigma / alpha."""
    path = VarianceExploding()
    objective = Objective(path, "edm", data_std=std)
    timestep = torch.tensor([100.0, 500.0, 800.0], dtype=torch.float64)
    sigma = path.alpha_sigma(timestep)[1][:, None]
    x, output = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    total = sigma**2 + std**2
    torch.testing.assert_close(objective.network_input(x, timestep), x / total.sqrt())
    expected = std**2 / total * x + sigma * std / total.sqrt() * -output
    torch.testing.assert_close(objective.prediction(output, x, timestep).x0, expected)


def test_the_loss_is_the_weighted_mean_of_the_squared_errors():
    model = Denoiser(lambda x_t, timestep, condition: 0.5 * x_t, Flow(), predicts="v", weight=MinSnr(5.0))
    x0, noise = torch.randn(2, 4, 3, 2, 2, generator=torch.Generator().manual_seed(4))
    timestep = torch.tensor([100.0, 400.0, 700.0, 900.0])
    t = (timestep / 1000).view(-1, 1, 1, 1)
    x_t = (1 - t) * x0 + t * noise
    errors = (0.5 * x_t - ((1 - t) * noise - t * x0)).square().flatten(1).mean(1)
    expected = (errors * model.objective.loss_weight(timestep)).mean()
    torch.testing.assert_close(model.loss(x0, timestep, noise=noise), expected)


def test_parameters_of_the_network_are_those_of_the_denoiser():
    model = Denoiser(torch.nn.Linear(3, 3), Flow())
    assert [tuple(p.shape) for p in model.parameters()] == [(3, 3), (3,)]
