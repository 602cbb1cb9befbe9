"""Walking into noise and back, against denoisers known in closed form."""

import pytest
import torch

from facegen.diffusion.inversion import invert, redraw
from facegen.diffusion.oracles import GaussianDenoiser
from facegen.diffusion.paths import Flow, VarianceExploding, VariancePreserving
from facegen.diffusion.schedules import betas_of
from facegen.diffusion.walk import moves, trailing
from facegen.samplers.heun import Heun

MU = torch.tensor([0.7, -0.4, 0.1], dtype=torch.float64)
ROOT = torch.tensor([[0.9, 0.0, 0.0], [0.5, 0.6, 0.0], [-0.2, 0.1, 0.3]], dtype=torch.float64)
SIGMA = ROOT @ ROOT.T
OTHER = torch.tensor([-0.5, 0.6, 0.1], dtype=torch.float64)
PATHS = {
    "linear": VariancePreserving.of_betas(betas_of("linear")),
    "squared_cosine": VariancePreserving.of_betas(betas_of("squared_cosine")),
    "flow": Flow(),
    "exploding": VarianceExploding(),
}
X0 = MU + torch.randn(32, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) @ ROOT.T


def last(steps):
    return list(steps)[-1].x0


@pytest.mark.parametrize("name", ["flow", "linear"])
def test_an_ordinary_sampler_leads_back_from_the_noise_of_an_inversion(name):
    path = PATHS[name]
    denoiser, steps = GaussianDenoiser(path, MU, SIGMA), moves(path, trailing(path, 80))
    inversion = invert(denoiser, X0, steps)
    noise = inversion.states[0]
    assert noise.mean(0).abs().max() < 0.35
    assert (noise.std(0) - 1).abs().max() < 0.2, "noise looks like noise"
    torch.testing.assert_close(last(Heun(denoiser, 80)(noise)), X0, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", PATHS)
def test_asked_for_the_same_a_sample_comes_back_to_the_last_bit(name):
    path = PATHS[name]
    denoiser = GaussianDenoiser(path, MU, SIGMA)
    inversion = invert(denoiser, X0, moves(path, trailing(path, 6)))
    for num_steps in (1, 3, 6):
        walk = list(redraw(denoiser, inversion, num_steps))
        assert len(walk) == num_steps
        assert torch.equal(walk[-1].x0, X0)


@pytest.mark.parametrize("name", ["linear", "flow"])
def test_a_shifted_gaussian_shifts_the_sample_by_as_much(name):
    """With one covariance the exact flows of both differ by the shift alone: x0 goes to x0 + OTHER - MU."""
    path = PATHS[name]
    inversion = invert(GaussianDenoiser(path, MU, SIGMA), X0, moves(path, trailing(path, 50)))
    found = last(redraw(GaussianDenoiser(path, OTHER, SIGMA), inversion, 50))
    torch.testing.assert_close(found, X0 + OTHER - MU, atol=0.02, rtol=0)
    half = last(redraw(GaussianDenoiser(path, OTHER, SIGMA), inversion, 25))
    assert 0 < (half - X0).norm() < 0.9 * (found - X0).norm(), "less deep, less change"


def test_what_has_to_stay_stays_at_every_step():
    path = PATHS["flow"]
    inversion = invert(GaussianDenoiser(path, MU, SIGMA), X0, moves(path, trailing(path, 20)))
    where = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)
    walk = list(redraw(GaussianDenoiser(path, OTHER, SIGMA), inversion, 20, where))
    for step, state in zip(walk, inversion.states[1:], strict=True):
        assert torch.equal(step.x_t[:, 1], state[:, 1])
    assert not torch.equal(walk[-1].x0[:, 0], X0[:, 0])
