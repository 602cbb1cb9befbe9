"""The presets with peers' settings: what they set up against the peers' own code, or their own formulas."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
import torch

from facegen.compat import guard_torchvision
from facegen.config.composition import compose, preset_text
from facegen.config.kinds import kind_config, load_kind
from facegen.config.recipe import Recipe
from facegen.diffusion.denoiser import Denoiser
from facegen.diffusion.guidance import clip
from facegen.diffusion.walk import trailing
from facegen.models.objective import objective_of
from facegen.training.ema import ema_decay
from facegen.training.optimizer import RateSchedule, build_optimizer
from facegen.types import ConditioningSpec, SampleSpec

PIXELS = SampleSpec((3, 64, 64))


@pytest.fixture(scope="module")
def diffusers() -> Any:
    guard_torchvision()
    import diffusers

    return diffusers


@pytest.fixture
def recipe() -> Recipe:
    return compose("peer-diffusers-unconditional")


@pytest.fixture
def lucid() -> Recipe:
    return compose("peer-ddpm-pytorch")


def network_of(recipe: Recipe) -> torch.nn.Module:
    """Its shapes, without memory."""
    config = recipe.section("denoiser")
    with torch.device("meta"):
        return load_kind("denoisers", config.kind).build(config, PIXELS, ConditioningSpec())


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_network_has_the_parameters_of_diffusers_example(recipe: Recipe, diffusers: Any) -> None:
    with torch.device("meta"):
        theirs = diffusers.UNet2DModel(
            sample_size=64,
            in_channels=3,
            out_channels=3,
            layers_per_block=2,
            block_out_channels=(128, 128, 256, 256, 512, 512),
            down_block_types=(*["DownBlock2D"] * 4, "AttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 4),
        )
    ours: Any = network_of(recipe)
    assert count(ours) == count(theirs) == 113_673_219
    settings = [
        {name: value for name, value in one.config.items() if name[0] != "_"} for one in (ours.model, theirs)
    ]
    assert settings[0] == {**settings[1], "sample_size": (64, 64)}
    shapes = [{name: value.shape for name, value in one.state_dict().items()} for one in (ours.model, theirs)]
    assert shapes[0] == shapes[1]


def test_the_learning_rate_is_diffusers_cosine_but_for_one_step_of_warm_up(recipe: Recipe) -> None:
    from diffusers.optimization import get_scheduler

    config, end = recipe.optimizer, 3000
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=config.lr)
    theirs = get_scheduler("cosine", optimizer, num_warmup_steps=500, num_training_steps=end)
    rates = []
    for _ in range(end):
        rates.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    ours = [RateSchedule.over(config, 0, end).rate(step) for step in range(end)]
    assert ours[:499] == pytest.approx(rates[1:500])
    assert ours[500:] == pytest.approx(rates[500:])


def test_the_optimizer_is_the_examples(recipe: Recipe) -> None:
    optimizer = build_optimizer(torch.nn.Linear(2, 2), recipe.optimizer)
    assert type(optimizer) is torch.optim.AdamW
    asked = {"lr": 1e-4, "betas": (0.95, 0.999), "weight_decay": 1e-6, "eps": 1e-8}
    assert {name: optimizer.param_groups[0][name] for name in asked} == asked
    assert recipe.optimizer.clip_grad_norm == 1
    assert (recipe.training.batch_size, recipe.training.epochs) == (16, 100)
    assert recipe.training.accumulation_steps == 1


def test_the_average_warms_up_as_diffusers_does(recipe: Recipe) -> None:
    from diffusers.training_utils import EMAModel

    theirs = EMAModel([], decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=3 / 4)
    steps = [*range(50), 1000, 10_000, 215_000, 300_000]
    ours = [ema_decay(step, recipe.ema.decay, recipe.ema.warmup_power) for step in steps]
    assert ours == pytest.approx([theirs.get_decay(step + 1) for step in steps], abs=1e-12)


def test_its_walk_is_that_of_diffusers_pipeline(recipe: Recipe, diffusers: Any) -> None:
    """Of a network that goes for one face and errs by so much that its estimates have to be clipped."""
    generator = torch.Generator().manual_seed(0)
    face = 2 * torch.rand(2, 3, 4, 4, generator=generator) - 1
    noises = torch.randn(1001, 2, 3, 4, 4, generator=generator)
    objective = objective_of(recipe.diffusion)

    def network(x_t: torch.Tensor, timestep: torch.Tensor, _: Any = None) -> torch.Tensor:
        return objective.path.eps_of(face, x_t, timestep) + 0.2 * torch.sin(timestep).view(-1, 1, 1, 1)

    asked = recipe.sampling
    make = kind_config("samplers", asked.sampler)
    assert asked.clip_x0 is not None
    bound = clip(Denoiser.of(network, objective), asked.clip_x0)
    walk = load_kind("samplers", make.kind).build(make)(bound, asked.steps)
    ours = [step.x_t for step in walk(noises[-1], lambda index, _: noises[index])]

    module = import_module("diffusers.schedulers.scheduling_ddpm")
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    scheduler.set_timesteps(1000)
    x, drawn, theirs = noises[-1], iter(noises), list[torch.Tensor]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "randn_tensor", lambda *_, **__: next(drawn))
        for timestep in scheduler.timesteps:
            x = scheduler.step(network(x, timestep.repeat(2).float()), timestep, x).prev_sample
            theirs.append(x)
    assert len(list(drawn)) == 2  # the last step asks for none, and one was the start
    torch.testing.assert_close(torch.stack(ours), torch.stack(theirs), rtol=0, atol=1e-3)


def test_a_network_of_the_other_peers_widths_has_the_told_number_of_parameters(lucid: Recipe) -> None:
    assert count(network_of(lucid)) == 44_963_587
    assert "45.0 M parameters" in preset_text("peer-ddpm-pytorch")


def test_errors_of_v_count_as_the_other_peer_counts_them(lucid: Recipe) -> None:
    """By SNR / (SNR + 1) at every timestep, the first and the last included."""
    objective = objective_of(lucid.diffusion)
    timesteps = torch.arange(1000.0)
    alpha, sigma = objective.path.alpha_sigma(timesteps.double())
    snr = (alpha / sigma) ** 2
    assert objective.predicts == "v"
    torch.testing.assert_close(objective.loss_weight(timesteps).double(), snr / (snr + 1), rtol=1e-5, atol=0)


def test_the_other_peers_walk_has_its_timesteps(lucid: Recipe) -> None:
    """Whole numbers evenly from -1, which is the clean image, to 999."""
    theirs = torch.linspace(-1, 999, 251).int().tolist()[:0:-1]
    config, path = kind_config("samplers", lucid.sampling.sampler), objective_of(lucid.diffusion).path
    assert (config.kind, config.eta, lucid.sampling.steps, lucid.sampling.clip_x0) == ("ddim", 0, 250, 1)
    assert trailing(path, lucid.sampling.steps) == theirs
    assert config.spacing == "trailing"


def test_the_other_peers_optimizer_and_batches(lucid: Recipe) -> None:
    optimizer = build_optimizer(torch.nn.Linear(2, 2), lucid.optimizer)
    assert type(optimizer) is torch.optim.Adam
    asked = {"lr": 8e-5, "betas": (0.9, 0.99), "weight_decay": 0}
    assert {name: optimizer.param_groups[0][name] for name in asked} == asked
    assert lucid.optimizer.lr_schedule == "constant"
    training = lucid.training
    assert training.batch_size / training.accumulation_steps == 32
    assert (training.accumulation_steps, training.max_steps) == (2, 700_000)
