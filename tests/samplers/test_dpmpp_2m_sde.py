import pytest
import torch


@pytest.mark.parametrize("steps", [8, 20])
@pytest.mark.parametrize("schedule", ["linear", "scaled_linear"])
def test_dpmpp_2m_sde_agrees_with_diffusers(lab, steps, schedule):
    scheduler = lab.diffusers.DPMSolverMultistepScheduler(
        algorithm_type="sde-dpmsolver++", timestep_spacing="trailing", beta_schedule=schedule
    )
    theirs = lab.theirs(scheduler, steps, lab.start())
    ours = lab.walk(lab.make("dpmpp_2m_sde"), steps, schedule=schedule)
    for our, state in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our.x_t, state, rtol=1e-3, atol=1e-3)


def test_other_noise_gives_another_sample_and_the_last_step_adds_none(lab):
    walk = lab.walk(lab.make("dpmpp_2m_sde"), 10)
    assert torch.equal(walk[-1].x_t, walk[-1].x0)
    assert not torch.equal(walk[-1].x0, lab.walk(lab.make("dpmpp_2m"), 10)[-1].x0)
