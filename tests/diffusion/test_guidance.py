import pytest
import torch

from facegen.config.recipe import DiffusionConfig
from facegen.diffusion.guidance import TWO_PASSES_FROM, clipped_denoiser, guided_denoiser
from facegen.diffusion.process import Process
from facegen.samplers.ddim import Config as DdimConfig
from facegen.samplers.ddim import build as build_ddim
from facegen.types import Conditioning

PROCESS = Process(**DiffusionConfig().values())


class Network:
    """Answers x_t + its condition, and remembers the batch size of every call."""

    def __init__(self):
        self.calls = []

    def __call__(self, x_t, timestep, conditioning):
        self.calls.append(len(x_t))
        return x_t + conditioning.vector


def conditions(count, dim=3):
    return Conditioning(vector=torch.ones(count, dim)), Conditioning(vector=torch.full((count, dim), 0.25))


def guide(scale, count=2, timestep=500.0, interval=(0.0, 1.0)):
    network = Network()
    denoiser = guided_denoiser(network, PROCESS, *conditions(count), scale, interval)
    x_t = torch.linspace(-1, 1, count * 3).view(count, 3)
    return denoiser(x_t, torch.full((count,), timestep)).eps - x_t, network.calls


def test_guidance_extrapolates_from_unconditional_to_conditional():
    extra, calls = guide(3.0)
    torch.testing.assert_close(extra, torch.full((2, 3), 0.25 + 3.0 * 0.75))
    assert calls == [4]


def test_scale_zero_is_unconditional():
    torch.testing.assert_close(guide(0.0)[0], torch.full((2, 3), 0.25))


def test_scale_one_needs_no_second_pass():
    extra, calls = guide(1.0)
    torch.testing.assert_close(extra, torch.ones(2, 3))
    assert calls == [2]


@pytest.mark.parametrize(("timestep", "guided"), [(100.0, False), (500.0, True), (900.0, False)])
def test_guidance_applies_inside_its_interval_only(timestep, guided):
    extra, calls = guide(3.0, timestep=timestep, interval=(0.2, 0.8))
    torch.testing.assert_close(extra, torch.full((2, 3), 2.5 if guided else 1.0))
    assert calls == [4 if guided else 2]


def test_rows_at_different_noise_levels_are_guided_each_by_its_own():
    denoiser = guided_denoiser(Network(), PROCESS, *conditions(2), 3.0, (0.2, 0.8))
    eps = denoiser(torch.zeros(2, 3), torch.tensor([100.0, 500.0])).eps
    torch.testing.assert_close(eps[:, 0], torch.tensor([1.0, 2.5]))


def test_large_batches_on_a_cpu_take_two_passes_with_the_same_result():
    extra, calls = guide(3.0, count=TWO_PASSES_FROM)
    assert calls == [TWO_PASSES_FROM, TWO_PASSES_FROM]
    torch.testing.assert_close(extra, torch.full((TWO_PASSES_FROM, 3), 2.5))


def test_clipping_bounds_x0_and_keeps_the_state_explained():
    process = Process(**DiffusionConfig(parameterisation="x0").values())
    denoiser = guided_denoiser(
        lambda x_t, timestep, conditioning: 3 * x_t, process, Conditioning(), Conditioning(), 1.0
    )
    x_t, timestep = torch.linspace(-1, 1, 8).view(4, 2), torch.full((4,), 300.0)
    clipped = clipped_denoiser(denoiser, process, 1.0)(x_t, timestep)
    assert torch.equal(clipped.x0, (3 * x_t).clamp(-1, 1))
    torch.testing.assert_close(process.add_noise(clipped.x0, clipped.eps, timestep), x_t)


def test_clipping_keeps_squared_cosine_from_blowing_up_where_eps_is_a_little_wrong():
    """Data N(0, 0.5²); the network is the exact answer times 1.01."""
    process = Process(**DiffusionConfig(schedule="squared_cosine").values())

    def network(x_t, timestep, conditioning):
        alpha, sigma = (value.view(-1, 1) for value in process.alpha_sigma(timestep))
        return 1.01 * sigma * x_t / (0.25 * alpha**2 + sigma**2)

    denoiser = guided_denoiser(network, process, Conditioning(), Conditioning(), 1.0)
    noise = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
    stds = []
    for each in (denoiser, clipped_denoiser(denoiser, process, 2.0)):
        *_, last = build_ddim(DdimConfig()).trajectory(each, noise, 50, process, lambda index: noise)
        stds.append(last.x0.std().item())
    assert stds[0] > 1.5
    assert stds[1] == pytest.approx(0.5, abs=0.1)
