"""Every sampler against a denoiser known in closed form: x0 ~ N(mu, Sigma).

E[x0 | x_t] is affine in x_t, so a sampler is an affine map of the start noise and of each step's noise. One
row of the batch is the origin and one each a unit vector of those, which gives the sample's mean and
covariance exactly: no Monte Carlo, what is left is the discretisation (and, for the linear schedule, 0.003 of
the mean: alpha is not 0 at its end). The sampler that docs/python.md writes stands among them.
"""

from functools import partial

import pytest
import torch
from support.python_page import sampler_of_the_page

from facegen.config.kinds import kinds_of, load_kind
from facegen.diffusion.oracles import GaussianDenoiser, MixtureDenoiser
from facegen.diffusion.paths import Flow, VarianceExploding, VariancePreserving
from facegen.diffusion.schedules import betas_of
from facegen.diffusion.walk import at, karras, leading, trailing
from facegen.errors import UsageError
from facegen.samplers.ddim import DDIM
from facegen.samplers.ddpm import DDPM
from facegen.samplers.dpmpp_2m import DPMSolver2M
from facegen.samplers.dpmpp_2m_sde import DPMSolver2MSDE
from facegen.samplers.euler import Euler
from facegen.samplers.heun import Heun
from facegen.samplers.unipc import UniPC

MU = torch.tensor([0.7, -0.4, 0.1], dtype=torch.float64)
ROOT = torch.tensor([[0.9, 0.0, 0.0], [0.5, 0.6, 0.0], [-0.2, 0.1, 0.3]], dtype=torch.float64)
SIGMA = ROOT @ ROOT.T
DIM = len(MU)
PATHS = {
    "linear": VariancePreserving.of_betas(betas_of("linear")),
    "squared_cosine": VariancePreserving.of_betas(betas_of("squared_cosine")),
    "sigmoid": VariancePreserving.of_betas(betas_of("sigmoid")),
    "cosine": VariancePreserving(lambda t: -2 * torch.log(torch.tan(torch.pi * (0.0005 + 0.999 * t) / 2))),
    "flow": Flow(),
    "exploding": VarianceExploding(),
}


def fractions_cubed(path, steps):
    """Timesteps of one's own: the third power of even ones, so denser where it is clean."""
    return at(*(path.last_timestep * (1 - i / steps) ** 3 for i in range(steps)))(path, steps)


OWN = sampler_of_the_page()
ANY = {"trailing": trailing, "karras": karras, "own": fractions_cubed}
# sampler, steps, largest error of mean and covariance (entries up to 0.8); first order: ~ 1 / steps
CASES = [
    (DDPM, 300, 0.06),
    (partial(DDIM, eta=1.0), 300, 0.06),
    (DDIM, 200, 0.045),
    (Euler, 200, 0.045),
    (Heun, 100, 0.025),
    (DPMSolver2M, 100, 0.025),
    (DPMSolver2MSDE, 100, 0.03),
    (UniPC, 100, 0.025),
    (OWN, 200, 0.045),
]
FEW = [(Heun, 40, 0.02), (DPMSolver2M, 20, 0.03), (UniPC, 20, 0.025), (DPMSolver2M, 100, 0.01)]


def name_of(sampler):
    return getattr(sampler, "func", sampler).__name__


def moments(sampler, steps, path, **settings):
    """Mean (D,) and covariance (D, D) of the sampler's output for standard normal noise everywhere."""
    made = sampler(GaussianDenoiser(path, MU, SIGMA), steps, **settings)
    stochastic = name_of(sampler) in ("DDPM", "DPMSolver2MSDE") or getattr(made, "eta", 0) > 0
    rows = 1 + DIM + (steps * DIM if stochastic else 0)

    def unit_rows(first):
        noise = torch.zeros(rows, DIM, dtype=torch.float64)
        noise[first : first + DIM] = torch.eye(DIM)
        return noise

    *_, last = made(unit_rows(1), lambda index, x: unit_rows(1 + DIM * (index + 1)))
    torch.testing.assert_close(last.x_t, last.x0, rtol=0, atol=1e-6)
    columns = last.x0[1:] - last.x0[0]
    return last.x0[0], columns.T @ columns


@pytest.mark.parametrize(("sampler", "steps", "tolerance"), CASES)
@pytest.mark.parametrize("spacing", ANY)
@pytest.mark.parametrize("path", PATHS)
def test_the_sampler_recovers_mean_and_covariance(sampler, steps, tolerance, spacing, path):
    mean, covariance = moments(sampler, steps, PATHS[path], spacing=ANY[spacing])
    assert float((mean - MU).abs().max()) < tolerance
    assert float((covariance - SIGMA).abs().max()) < tolerance


@pytest.mark.parametrize(("sampler", "steps", "tolerance"), FEW)
@pytest.mark.parametrize("path", PATHS)
def test_few_steps_do_with_a_second_order(sampler, steps, tolerance, path):
    mean, covariance = moments(sampler, steps, PATHS[path])
    assert float((mean - MU).abs().max()) < tolerance
    assert float((covariance - SIGMA).abs().max()) < tolerance


@pytest.mark.parametrize("path", ["linear", "squared_cosine"])
def test_leading_spacing_comes_close_too(path):
    mean, covariance = moments(DDIM, 100, PATHS[path], spacing=leading)
    assert float((mean - MU).abs().max()) < 0.04
    assert float((covariance - SIGMA).abs().max()) < 0.04


@pytest.mark.parametrize("sampler", [DDIM, Euler, Heun, DPMSolver2M, UniPC, OWN], ids=name_of)
@pytest.mark.parametrize("path", PATHS)
def test_twice_the_steps_come_closer(sampler, path):
    errors = [float((moments(sampler, steps, PATHS[path])[1] - SIGMA).abs().max()) for steps in (20, 40, 80)]
    assert errors[0] > errors[1] > errors[2]


def made_of(kind):
    found = load_kind("samplers", kind)
    return found.build(found.Config(kind=kind))


@pytest.mark.parametrize("sampler", [*map(made_of, kinds_of("samplers")), OWN], ids=name_of)
@pytest.mark.parametrize("path", PATHS)
def test_the_steps_count_up_to_a_clean_sample(sampler, path):
    noise = torch.randn(2, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    steps = list(sampler(GaussianDenoiser(PATHS[path], MU, SIGMA), 7)(noise))
    assert [(step.index, step.num_steps) for step in steps] == [(index, 7) for index in range(7)]
    timesteps = [step.timestep for step in steps]
    assert timesteps == sorted(timesteps, reverse=True)
    assert timesteps[-1] == 0.0
    torch.testing.assert_close(steps[-1].x_t, steps[-1].x0, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sampler", [DPMSolver2M, Heun, DPMSolver2MSDE, OWN], ids=name_of)
def test_a_mixture_comes_out_in_its_parts(sampler):
    """A quarter of the data near -2, the rest near 1: so are the samples, each as spread as its part."""
    means, covariances = torch.tensor([[-2.0], [1.0]]), torch.tensor([[[0.04]], [[0.09]]])
    denoiser = MixtureDenoiser(Flow(), means, covariances, torch.tensor([0.25, 0.75]))
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(4000, 1, dtype=torch.float64, generator=generator)
    *_, last = sampler(denoiser, 60)(
        noise, lambda index, x: torch.randn(x.shape, generator=generator).double()
    )
    low, high = last.x0[last.x0 < -0.5], last.x0[last.x0 >= -0.5]
    assert len(low) / len(noise) == pytest.approx(0.25, abs=0.03)
    assert (float(low.mean()), float(high.mean())) == pytest.approx((-2.0, 1.0), abs=0.03)
    assert (float(low.std()), float(high.std())) == pytest.approx((0.2, 0.3), abs=0.03)


def test_timesteps_of_ones_own_must_fall_and_be_as_many_as_the_steps():
    denoiser = GaussianDenoiser(Flow(), MU, SIGMA)
    for timesteps in ((900.0, 500.0, 600.0), (900.0, 500.0), (1001.0, 500.0, 1.0), (900.0, 500.0, -1.0)):
        with pytest.raises(UsageError, match="3 steps need as many falling timesteps"):
            next(iter(Euler(denoiser, 3, at(*timesteps))(torch.zeros(1, DIM))))


def test_karras_spacing_is_even_in_the_seventh_root_of_the_noise():
    """EDM's own formula, between its own ends."""
    timesteps = torch.tensor(karras(PATHS["exploding"], 10), dtype=torch.float64)
    ours = PATHS["exploding"].alpha_sigma(timesteps)[1]
    root = torch.linspace(80.0 ** (1 / 7), 0.002 ** (1 / 7), 10, dtype=torch.float64)
    torch.testing.assert_close(ours, root**7, rtol=1e-4, atol=0)
