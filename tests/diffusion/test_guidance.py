import pytest
import torch

from facegen.config.recipe import DiffusionConfig
from facegen.diffusion.guidance import TWO_PASSES_FROM, guided_denoiser
from facegen.diffusion.process import build_process
from facegen.types import Conditioning

PROCESS = build_process(DiffusionConfig())


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
