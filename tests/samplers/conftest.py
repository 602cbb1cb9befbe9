"""A fixed small network, and walking it through facegen's samplers and through diffusers' schedulers."""

from types import SimpleNamespace

import pytest
import torch

from facegen.compat import guard_torchvision
from facegen.config.kinds import load_kind
from facegen.config.recipe import DiffusionConfig
from facegen.diffusion.denoiser import Denoiser
from facegen.models.objective import objective_of

DIM = 6


def network(x, timestep):
    """A smooth nonlinear stand-in for a denoiser: (B, DIM), (B,) -> (B, DIM)."""
    weight = torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(5)) / DIM**0.5
    return 0.5 * x + 0.3 * torch.tanh(x @ weight) + 0.2 * torch.cos(timestep / 200)[:, None]


def start(count=4):
    return torch.randn(count, DIM, generator=torch.Generator().manual_seed(11))


def step_noise(index, x=None):
    return torch.randn(4, DIM, generator=torch.Generator().manual_seed(1000 + index))


def make(kind, **settings):
    found = load_kind("samplers", kind)
    return found.build(found.Config(**settings))


def walk(sampler, steps, **diffusion):
    """facegen's steps, from `start`."""
    objective = objective_of(DiffusionConfig(**diffusion))
    denoiser = Denoiser.of(lambda x, timestep, condition: network(x, timestep), objective)
    return list(sampler(denoiser, steps)(start(), step_noise))


def diffusers_walk(
    scheduler, steps, x, monkeypatch, timestep_of=lambda scheduler, t: float(t), **set_timesteps
):
    """States after each scheduler step on the same network, its noise replaced by `step_noise`."""
    module = __import__(type(scheduler).__module__, fromlist=["x"])
    counter = iter(range(10_000))
    if hasattr(module, "randn_tensor"):
        monkeypatch.setattr(module, "randn_tensor", lambda *args, **kwargs: step_noise(next(counter)))
    scheduler.set_timesteps(**(set_timesteps or {"num_inference_steps": steps}))
    states = []
    for t in scheduler.timesteps:
        model_input = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        time = torch.full((len(x),), timestep_of(scheduler, t))
        x = scheduler.step(network(model_input, time), t, x).prev_sample
        states.append(x)
    return states


@pytest.fixture
def lab(monkeypatch):
    guard_torchvision()
    import diffusers

    def theirs(scheduler, steps, x, **kwargs):
        return diffusers_walk(scheduler, steps, x, monkeypatch, **kwargs)

    return SimpleNamespace(make=make, walk=walk, start=start, theirs=theirs, diffusers=diffusers)
