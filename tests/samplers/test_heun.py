from functools import partial

import torch

from facegen.diffusion.walk import at
from facegen.samplers.heun import Heun


def test_heun_agrees_with_diffusers(lab):
    scheduler = lab.diffusers.HeunDiscreteScheduler(
        timestep_spacing="trailing", beta_schedule="linear", beta_start=1e-4, beta_end=0.02
    )
    scheduler.set_timesteps(15)
    sigma = float(scheduler.sigmas[0])
    theirs = lab.theirs(scheduler, 15, lab.start() * (1 + sigma**2) ** 0.5)
    after_whole_steps = [*theirs[1::2], theirs[-1]]  # every step but the last is two calls
    ours = lab.walk(lab.make("heun"), 15)
    sigmas = [*scheduler.sigmas[1::2].tolist()]
    for our, state, sigma in zip(ours, after_whole_steps, sigmas, strict=True):
        torch.testing.assert_close(our.x_t, state / (1 + sigma**2) ** 0.5, rtol=1e-3, atol=1e-3)


def test_heun_on_flow_agrees_with_diffusers(lab):
    scheduler = lab.diffusers.FlowMatchHeunDiscreteScheduler()
    theirs = lab.theirs(scheduler, 12, lab.start())
    # their timesteps are linspace(1, 1/1000), ours 1 - i/N: send ours through theirs
    timesteps = [1000 * sigma for sigma in scheduler.sigmas[:-1:2].tolist()]
    ours = lab.walk(partial(Heun, spacing=at(*timesteps)), 12, parameterisation="flow")
    torch.testing.assert_close(ours[-1].x_t, theirs[-1], rtol=1e-4, atol=1e-4)


def test_heun_is_more_exact_than_euler_for_as_many_network_calls(lab):
    truth = lab.walk(lab.make("heun"), 400)[-1].x0
    heun = lab.walk(lab.make("heun"), 20)[-1].x0
    euler = lab.walk(lab.make("euler"), 39)[-1].x0
    assert (heun - truth).norm() < 0.5 * (euler - truth).norm()
