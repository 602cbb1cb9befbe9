import numpy as np
import torch


def test_euler_agrees_with_diffusers(lab):
    scheduler = lab.diffusers.EulerDiscreteScheduler(timestep_spacing="trailing")
    scheduler.set_timesteps(25)
    sigma = float(scheduler.sigmas[0])
    theirs = lab.theirs(scheduler, 25, lab.start() * (1 + sigma**2) ** 0.5)
    ours = lab.walk(lab.make("euler"), 25)
    for our, state, sigma in zip(ours, theirs, scheduler.sigmas[1:], strict=True):
        torch.testing.assert_close(our.x_t, state / (1 + sigma**2) ** 0.5, rtol=1e-3, atol=1e-3)


def test_euler_on_flow_agrees_with_diffusers(lab):
    scheduler = lab.diffusers.FlowMatchEulerDiscreteScheduler()
    theirs = lab.theirs(scheduler, 25, lab.start(), sigmas=np.linspace(1, 1 / 25, 25))
    ours = lab.walk(lab.make("euler"), 25, parameterisation="flow")
    for our, state in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our.x_t, state, rtol=1e-5, atol=1e-5)


def test_euler_is_ddim_without_noise(lab):
    for parameterisation in ("eps", "flow"):
        euler = lab.walk(lab.make("euler"), 10, parameterisation=parameterisation)[-1].x0
        ddim = lab.walk(lab.make("ddim"), 10, parameterisation=parameterisation)[-1].x0
        torch.testing.assert_close(euler, ddim, rtol=1e-3, atol=1e-3)
