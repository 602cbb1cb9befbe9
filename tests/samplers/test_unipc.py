import pytest
import torch


@pytest.mark.parametrize("steps", [8, 20])
@pytest.mark.parametrize("schedule", ["linear", "scaled_linear"])
def test_unipc_agrees_with_diffusers(lab, steps, schedule):
    scheduler = lab.diffusers.UniPCMultistepScheduler(timestep_spacing="trailing", beta_schedule=schedule)
    theirs = lab.theirs(scheduler, steps, lab.start())
    ours = lab.walk(lab.make("unipc"), steps, schedule=schedule)
    for our, state in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our.x_t, state, rtol=1e-3, atol=1e-3)


def test_unipc_on_flow_agrees_with_diffusers(lab):
    scheduler = lab.diffusers.UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction")

    def timestep_of(scheduler, t):
        # diffusers rounds the network's timestep down to a whole number; ours is exact
        return float(scheduler.sigmas[scheduler.step_index or 0]) * 1000

    theirs = lab.theirs(scheduler, 20, lab.start(), timestep_of=timestep_of)
    ours = lab.walk(lab.make("unipc"), 20, parameterisation="flow")
    for our, state in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our.x_t, state, rtol=1e-3, atol=1e-3)


def test_unipc_is_more_exact_than_dpmpp_2m_for_as_many_network_calls(lab):
    truth = lab.walk(lab.make("heun"), 400)[-1].x0
    unipc, dpm = (lab.walk(lab.make(kind), 10)[-1].x0 for kind in ("unipc", "dpmpp_2m"))
    assert (unipc - truth).norm() < (dpm - truth).norm()
