import pytest
import torch

from facegen.compat import guard_torchvision
from facegen.diffusion.denoiser import Denoiser
from facegen.diffusion.guidance import TWO_PASSES_FROM, autoguide, clip, guide, guide_projected
from facegen.diffusion.paths import Flow, Path, VariancePreserving
from facegen.diffusion.schedules import betas_of
from facegen.diffusion.weighting import Predicts
from facegen.samplers.ddim import DDIM
from facegen.types import Conditioning

LINEAR = VariancePreserving.of_betas(betas_of("linear"))


class Network:
    """Answers x_t + its condition, and remembers the batch size of every call."""

    def __init__(self):
        self.calls = []

    def __call__(self, x_t, timestep, conditioning):
        self.calls.append(len(x_t))
        return x_t + conditioning.vector


def conditions(count, dim=3):
    return Conditioning(vector=torch.ones(count, dim)), Conditioning(vector=torch.full((count, dim), 0.25))


def guided(scale, count=2, timestep=500.0, interval=(0.0, 1.0)):
    network = Network()
    denoiser = guide(Denoiser(network, LINEAR, "eps"), *conditions(count), scale, interval)
    x_t = torch.linspace(-1, 1, count * 3).view(count, 3)
    return denoiser(x_t, torch.full((count,), timestep)).eps - x_t, network.calls


def vector_of(condition: Conditioning) -> torch.Tensor:
    assert condition.vector is not None
    return condition.vector


def told(path: Path | None = None, predicts: Predicts = "x0") -> Denoiser:
    """A denoiser that answers its condition, whatever the state."""
    return Denoiser(lambda x_t, timestep, condition: vector_of(condition), path or Flow(), predicts)


def test_guidance_extrapolates_from_unconditional_to_conditional():
    extra, calls = guided(3.0)
    torch.testing.assert_close(extra, torch.full((2, 3), 0.25 + 3.0 * 0.75))
    assert calls == [4]


def test_scale_zero_is_unconditional():
    torch.testing.assert_close(guided(0.0)[0], torch.full((2, 3), 0.25))


def test_scale_one_needs_no_second_pass():
    extra, calls = guided(1.0)
    torch.testing.assert_close(extra, torch.ones(2, 3))
    assert calls == [2]


@pytest.mark.parametrize(("timestep", "inside"), [(100.0, False), (500.0, True), (900.0, False)])
def test_guidance_applies_inside_its_interval_only(timestep, inside):
    extra, calls = guided(3.0, timestep=timestep, interval=(0.2, 0.8))
    torch.testing.assert_close(extra, torch.full((2, 3), 2.5 if inside else 1.0))
    assert calls == [4 if inside else 2]


def test_rows_at_different_noise_levels_are_guided_each_by_its_own():
    denoiser = guide(Denoiser(Network(), LINEAR, "eps"), *conditions(2), 3.0, (0.2, 0.8))
    eps = denoiser(torch.zeros(2, 3), torch.tensor([100.0, 500.0])).eps
    torch.testing.assert_close(eps[:, 0], torch.tensor([1.0, 2.5]))


def test_large_batches_on_a_cpu_take_two_passes_with_the_same_result():
    extra, calls = guided(3.0, count=TWO_PASSES_FROM)
    assert calls == [TWO_PASSES_FROM, TWO_PASSES_FROM]
    torch.testing.assert_close(extra, torch.full((TWO_PASSES_FROM, 3), 2.5))


def test_rescaling_is_that_of_diffusers():
    guard_torchvision()
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

    cond, null = (Conditioning(vector=v) for v in torch.randn(2, 4, 50, generator=torch.manual_seed(0)))
    denoiser = guide(told(LINEAR, "eps"), cond, null, 5.0, rescale=0.7)
    ours = denoiser(torch.zeros(4, 50), torch.full((4,), 500.0)).eps
    plain = vector_of(null) + 5.0 * (vector_of(cond) - vector_of(null))
    torch.testing.assert_close(ours, rescale_noise_cfg(plain, vector_of(cond), guidance_rescale=0.7))


def test_projected_guidance_adds_nothing_along_the_conditional_answer():
    cond = torch.randn(4, 50, generator=torch.manual_seed(1))
    null = torch.randn(4, 50, generator=torch.manual_seed(2))
    at = torch.zeros(4, 50), torch.full((4,), 500.0)

    def x0(**settings):
        parts = Conditioning(vector=cond), Conditioning(vector=null)
        return guide_projected(told(), *parts, 4.0, **settings)(*at).x0

    torch.testing.assert_close(((x0() - cond) * cond).sum(1), torch.zeros(4), rtol=0, atol=1e-4)
    torch.testing.assert_close(x0(parallel=1.0), null + 4.0 * (cond - null))
    assert (x0(parallel=1.0, radius=0.5) - cond).norm(dim=1).tolist() == pytest.approx([1.5] * 4, rel=1e-5)


def test_momentum_weighs_what_earlier_steps_have_added():
    cond, null = Conditioning(vector=torch.ones(1, 4)), Conditioning(vector=torch.zeros(1, 4))
    denoiser = guide_projected(told(), cond, null, 2.0, parallel=1.0, momentum=-0.5)
    at = torch.zeros(1, 4), torch.full((1,), 500.0)
    steps = [float(denoiser(*at).x0[0, 0]) for _ in range(3)]
    assert steps == [2.0, 1.5, 1.75]  # 1 + 1, 1 + (1 - 0.5), 1 + (1 - 0.25)


def test_autoguidance_leads_away_from_the_weak_model():
    condition = Conditioning(vector=torch.ones(2, 3))
    weak = Denoiser(lambda x_t, timestep, condition: 0.5 * vector_of(condition), Flow(), "x0")
    denoiser = autoguide(told(), condition, guide(weak, condition, condition, 1.0), 3.0, (0.2, 0.8))
    x0 = denoiser(torch.zeros(2, 3), torch.tensor([100.0, 500.0])).x0
    torch.testing.assert_close(x0[:, 0], torch.tensor([1.0, 0.5 + 3.0 * 0.5]))


def test_clipping_bounds_x0_and_keeps_the_state_explained():
    denoiser = Denoiser(lambda x_t, timestep, conditioning: 3 * x_t, LINEAR, "x0")
    x_t, timestep = torch.linspace(-1, 1, 8).view(4, 2), torch.full((4,), 300.0)
    clipped = clip(denoiser, 1.0)(x_t, timestep)
    assert torch.equal(clipped.x0, (3 * x_t).clamp(-1, 1))
    torch.testing.assert_close(LINEAR.add_noise(clipped.x0, clipped.eps, timestep), x_t)


def test_clipping_keeps_squared_cosine_from_blowing_up_where_eps_is_a_little_wrong():
    """Data N(0, 0.5²); the network is the exact answer times 1.01."""
    path = VariancePreserving.of_betas(betas_of("squared_cosine"))

    def network(x_t, timestep, conditioning):
        alpha, sigma = (value.view(-1, 1) for value in path.alpha_sigma(timestep))
        return 1.01 * sigma * x_t / (0.25 * alpha**2 + sigma**2)

    denoiser = Denoiser(network, path, "eps")
    noise = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
    stds = []
    for each in (denoiser, clip(denoiser, 2.0)):
        *_, last = DDIM(each, 50)(noise)
        stds.append(last.x0.std().item())
    assert stds[0] > 1.5
    assert stds[1] == pytest.approx(0.5, abs=0.1)
