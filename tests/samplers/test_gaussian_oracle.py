"""Every sampler against a denoiser known in closed form: x0 ~ N(mu, Sigma).

E[x0 | x_t] = mu + alpha Sigma (alpha^2 Sigma + sigma^2 I)^-1 (x_t - alpha mu) is affine in x_t, so a sampler
is an affine map of the start noise and of each step's noise. One row of the batch is the origin and one
each a unit vector of those, which gives the sample's mean and covariance exactly: no Monte Carlo, what is
left is the discretisation (and, for the linear schedule, 0.003 of the mean: alpha is not 0 at its end).
"""

import pytest
import torch

from facegen.config.kinds import kinds_of, load_kind
from facegen.config.recipe import DiffusionConfig
from facegen.diffusion.process import Process
from facegen.types import Prediction

MU = torch.tensor([0.7, -0.4, 0.1], dtype=torch.float64)
ROOT = torch.tensor([[0.9, 0.0, 0.0], [0.5, 0.6, 0.0], [-0.2, 0.1, 0.3]], dtype=torch.float64)
SIGMA = ROOT @ ROOT.T
DIM = len(MU)

# kind, settings, steps, largest error of mean and covariance (entries up to 0.8); first order: ~ 1 / steps
CASES = [
    ("ddpm", {}, 1000, 0.02),
    ("ddim", {}, 100, 0.04),
    ("ddim", {"eta": 1.0}, 1000, 0.02),
    ("ddim", {"spacing": "leading"}, 100, 0.04),
    ("euler", {}, 100, 0.04),
    ("heun", {}, 40, 0.02),
    ("dpmpp_2m", {}, 20, 0.03),
    ("dpmpp_2m", {}, 100, 0.015),
]


def oracle(process):
    def denoise(x, timestep):
        alpha, sigma = (float(value[0]) for value in process.alpha_sigma(timestep.double()))
        gain = alpha * SIGMA @ torch.linalg.inv(alpha**2 * SIGMA + sigma**2 * torch.eye(DIM).double())
        x0 = MU + (x - alpha * MU) @ gain.T
        return Prediction(x0=x0, eps=(x - alpha * x0) / sigma)

    return denoise


def moments(kind, settings, steps, process):
    """Mean (D,) and covariance (D, D) of the sampler's output for standard normal noise everywhere."""
    found = load_kind("samplers", kind)
    sampler = found.build(found.Config(**settings))
    stochastic = kind == "ddpm" or settings.get("eta", 0) > 0
    rows = 1 + DIM + (steps * DIM if stochastic else 0)

    def unit_rows(first):
        noise = torch.zeros(rows, DIM, dtype=torch.float64)
        noise[first : first + DIM] = torch.eye(DIM)
        return noise

    walk = sampler.trajectory(
        oracle(process), unit_rows(1), steps, process, lambda index: unit_rows(1 + DIM * (index + 1))
    )
    last = list(walk)[-1]
    torch.testing.assert_close(last.x_t, last.x0, rtol=0, atol=1e-6)
    columns = last.x0[1:] - last.x0[0]
    return last.x0[0], columns.T @ columns


@pytest.mark.parametrize(("kind", "settings", "steps", "tolerance"), CASES)
@pytest.mark.parametrize(
    "diffusion",
    [{}, {"parameterisation": "v", "schedule": "squared_cosine"}, {"parameterisation": "flow"}],
    ids=["linear", "squared_cosine", "flow"],
)
def test_the_sampler_recovers_mean_and_covariance(kind, settings, steps, tolerance, diffusion):
    if settings.get("spacing") == "leading" and diffusion.get("parameterisation") == "flow":
        pytest.skip("leading spacing is refused for flow")
    mean, covariance = moments(kind, settings, steps, Process(**DiffusionConfig(**diffusion).values()))
    assert float((mean - MU).abs().max()) < tolerance
    assert float((covariance - SIGMA).abs().max()) < tolerance


@pytest.mark.parametrize("kind", kinds_of("samplers"))
@pytest.mark.parametrize("parameterisation", ["eps", "flow"])
def test_the_steps_count_up_to_a_clean_sample(kind, parameterisation):
    found = load_kind("samplers", kind)
    process = Process(**DiffusionConfig(parameterisation=parameterisation).values())
    noise = torch.randn(2, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    walk = found.build(found.Config(kind=kind)).trajectory(
        oracle(process), noise, 7, process, lambda index: noise
    )
    steps = list(walk)
    assert [(step.index, step.num_steps) for step in steps] == [(index, 7) for index in range(7)]
    timesteps = [step.timestep for step in steps]
    assert timesteps == sorted(timesteps, reverse=True)
    assert timesteps[-1] == 0.0
    torch.testing.assert_close(steps[-1].x_t, steps[-1].x0, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["euler", "heun", "dpmpp_2m"])
@pytest.mark.parametrize("parameterisation", ["eps", "flow"])
def test_twice_the_steps_come_closer(kind, parameterisation):
    process = Process(**DiffusionConfig(parameterisation=parameterisation).values())
    errors = [float((moments(kind, {}, steps, process)[1] - SIGMA).abs().max()) for steps in (20, 40, 80)]
    assert errors[0] > errors[1] > errors[2]
