import pytest
import torch

PREDICTION_TYPES = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}


@pytest.mark.parametrize("parameterisation", PREDICTION_TYPES)
@pytest.mark.parametrize("steps", [20, 250])
def test_ddpm_agrees_with_diffusers(lab, parameterisation, steps):
    scheduler = lab.diffusers.DDPMScheduler(
        timestep_spacing="trailing",
        clip_sample=False,
        prediction_type=PREDICTION_TYPES[parameterisation],
    )
    theirs = lab.theirs(scheduler, steps, lab.start())
    ours = lab.walk(lab.make("ddpm"), steps, parameterisation=parameterisation)
    assert len(ours) == len(theirs) == steps
    for step, state in zip(ours, theirs, strict=True):
        torch.testing.assert_close(step.x_t, state, rtol=1e-3, atol=1e-3)


def test_the_last_step_adds_no_noise(lab):
    last = lab.walk(lab.make("ddpm"), 10)[-1]
    assert torch.equal(last.x_t, last.x0)
