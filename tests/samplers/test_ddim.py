import pytest
import torch

from facegen.errors import UsageError


@pytest.mark.parametrize("spacing", ["trailing", "leading"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_agrees_with_diffusers(lab, spacing, eta):
    scheduler = lab.diffusers.DDIMScheduler(
        timestep_spacing=spacing, clip_sample=False, set_alpha_to_one=True
    )
    step = scheduler.step
    scheduler.step = lambda output, t, x: step(output, t, x, eta=eta)
    theirs = lab.theirs(scheduler, 25, lab.start())
    ours = lab.walk(lab.make("ddim", eta=eta, spacing=spacing), 25)
    for our, state in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our.x_t, state, rtol=1e-3, atol=1e-3)


def test_leading_spacing_on_flow_is_refused(lab):
    with pytest.raises(UsageError, match="trailing"):
        lab.walk(lab.make("ddim", spacing="leading"), 5, parameterisation="flow")


def test_more_steps_than_timesteps_is_refused_with_the_limit(lab):
    with pytest.raises(UsageError, match="1000 timesteps"):
        lab.walk(lab.make("ddim"), 1001)
