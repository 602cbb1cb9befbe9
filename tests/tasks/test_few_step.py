"""Teaching a model to draw in few calls: what it is taught, how it is then asked, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.draws import draws_of
from support.generator_parts import save_run, tiny_generator, tiny_recipe
from support.training_parts import denoising_recipe, write_latents
from torch import Tensor, nn

from facegen.conditioners.attributes import Config as ConditionerConfig
from facegen.conditioners.attributes import build as build_conditioner
from facegen.config.composition import compose
from facegen.config.recipe import DiffusionConfig, SamplingConfig
from facegen.errors import UsageError
from facegen.formats.latents import LatentStore
from facegen.models.generator import sampling_with
from facegen.models.objective import objective_of
from facegen.nn.strides import CALLS, STRIDE, Strides
from facegen.tasks.denoising import latent_samples
from facegen.tasks.few_step import Config, FewStepTask, _chosen, build
from facegen.training.wiring import wire_task
from facegen.types import Conditioning, SampleSpec

STD = 0.5  # of the data that the teacher below knows


class GaussianVelocity(nn.Module):
    """The exact velocity of N(0, STD^2); where the first entry of its condition's vector is k > 0, the exact
    average velocity over a stride of 1 / 2^(k - 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        assert conditioning.vector is not None
        t, told = (value.view(-1, 1, 1, 1) for value in (timestep / 1000, conditioning.vector[:, 0]))
        velocity = (t - (1 - t) * STD**2) / spread(t) ** 2
        stride = 2 ** (1 - told)
        average = (1 - spread(t - stride) / spread(t)) / stride
        return self.weight * x_t * torch.where(told > 0, average, velocity)


def spread(t: Tensor) -> Tensor:
    return (((1 - t) * STD) ** 2 + t**2).sqrt()


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> LatentStore:
    folder = tmp_path_factory.mktemp("latents")
    return LatentStore.open(write_latents(folder, {"train": 64, "validation": 48}))


def make(latents: LatentStore, steps: int = 16, parameterisation: Any = "flow") -> FewStepTask:
    """A task whose teacher knows its Gaussian exactly, and no labels."""
    data = denoising_recipe(latents.folder).data
    shape = SampleSpec(latents.index.sample_shape)
    conditioner = build_conditioner(ConditionerConfig(dim=4), latents.index.labels, shape)
    for parameter in conditioner.parameters():
        nn.init.zeros_(parameter)
    teacher = nn.ModuleDict({"denoiser": GaussianVelocity(), "conditioner": conditioner})
    return build(
        Config(teacher="a run", teacher_steps=steps, validation_examples=48),
        teacher=teacher.state_dict(),
        sampling=SamplingConfig(sampler={"kind": "heun"}),
        train=latent_samples(latents, data.train_split),
        validation=latent_samples(latents, data.validation_split),
        limit=None,
        objective=objective_of(DiffusionConfig(parameterisation=parameterisation)),
        conditioner=conditioner,
        build_denoiser=GaussianVelocity,
    )


def told_strides(module: Any) -> nn.Module:
    """The module, which now tells its network the strides as `GaussianVelocity` reads them."""
    with torch.no_grad():
        module[STRIDE].vectors[:, 0] = torch.arange(len(CALLS)) + 1.0
    return module


def test_the_exact_average_velocity_has_no_loss(latents: LatentStore) -> None:
    task = make(latents, steps=160)
    batch = task.batch(torch.arange(16), draws_of(16))
    knows, begins = told_strides(task.build_module()), task.build_module()
    assert task.losses(knows, batch)["loss"] < 1e-4
    assert task.losses(begins, batch)["loss"] > 1e-2  # the velocity at the start of a stride


def test_walks_of_every_number_of_calls_end_where_the_teachers_does(latents: LatentStore) -> None:
    task = make(latents, steps=160)
    scores = task.validate(told_strides(task.build_module()), "cpu")
    assert scores["calls"] == list(CALLS)
    assert max(scores["error_per_calls"]) < 1e-3
    assert scores["loss"] == pytest.approx(sum(scores["error_per_calls"]) / len(CALLS))
    begun = task.validate(task.build_module(), "cpu")["error_per_calls"]
    assert begun == sorted(begun, reverse=True)  # the teacher itself: better in more steps
    assert begun[0] > 0.1


def test_pairs_are_whole_strides_of_the_teachers_walk(latents: LatentStore) -> None:
    chance = torch.rand(50, 40, 2, generator=torch.Generator().manual_seed(0))
    calls, here, there = _chosen(chance, 48)
    assert set(calls.unique().tolist()) == set(CALLS)
    assert torch.equal(there - here, 48 // calls)
    assert (here % (48 // calls) == 0).all()
    assert here.min() == 0
    assert there.max() == 48
    edge = torch.full((1, 1, 2), 1 - 2**-24)
    assert _chosen(edge, 16)[2].item() == 16


def test_a_batch_is_a_function_of_indices_and_draws(latents: LatentStore) -> None:
    task = make(latents)
    indices = torch.tensor([3, 1, 60])
    first, again, other = (task.batch(indices, draws_of(3, seed)) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["noise"], other["noise"])
    assert first["pairs"].shape == (3, 8, 2)


def test_it_begins_as_its_teacher_and_leaves_it_alone(latents: LatentStore) -> None:
    task = make(latents)
    module: Any = task.build_module()
    assert not module[STRIDE].vectors.any()
    nn.init.zeros_(module["denoiser"].weight)
    loss = task.losses(module, task.batch(torch.arange(4), draws_of(4)))["loss"]
    loss.backward()
    assert module["denoiser"].weight.grad is not None
    assert task.build_module().state_dict()["denoiser.weight"] == 1


def test_another_objective_or_network_is_refused(latents: LatentStore) -> None:
    with pytest.raises(UsageError, match="flow"):
        make(latents, parameterisation="eps")
    with pytest.raises(ValueError, match="multiple of 16"):
        Config(teacher="a run", teacher_steps=20)


def test_a_recipe_without_a_fitting_teacher_is_refused(latents: LatentStore, tmp_path: Path) -> None:
    changes = [f"data.path={latents.folder}"]
    with pytest.raises(UsageError, match="learns from a model") as caught:
        wire_task(compose("flow-dit-few", overrides=changes, size="smoke"))
    assert "task.teacher=RUN" in str(caught.value.hint)
    run = save_run(tmp_path)
    changes.append(f"task.teacher={run}")
    with pytest.raises(UsageError, match="another network"):
        wire_task(compose("flow-dit-few", overrides=changes, size="smoke"))
    (told,) = run.glob("checkpoints/*/checkpoint.json")
    info = json.loads(told.read_text(encoding="utf-8"))
    info["autoencoder"]["fingerprint"] = "0" * 64
    told.write_text(json.dumps(info), encoding="utf-8")
    with pytest.raises(UsageError, match="another autoencoder"):
        wire_task(compose("flow-dit-few", overrides=changes, size="smoke"))
    info["recipe"]["task"] = {"kind": "few_step", "teacher": None}
    told.write_text(json.dumps(info), encoding="utf-8")
    with pytest.raises(UsageError, match="of task 'few_step'"):
        wire_task(compose("flow-dit-few", overrides=changes, size="smoke"))


def few_step_generator() -> Any:
    recipe = tiny_recipe(
        diffusion={"parameterisation": "flow"},
        sampling={"sampler": {"kind": "euler"}, "steps": 4},
    )
    generator = tiny_generator(recipe)
    module: Any = generator.module
    strides = Strides(32)
    nn.init.normal_(strides.vectors, generator=torch.Generator().manual_seed(0))
    module[STRIDE] = strides
    return replace(generator, module=module)


def test_a_run_tells_its_network_in_how_many_calls_it_draws() -> None:
    generator = few_step_generator()
    inputs, noise = torch.ones(2, 3), generator.noise([5, 6])
    parts = generator.module
    for calls in CALLS:
        (*_, last) = generator.trajectory(inputs, [5, 6], sampling_with(generator.sampling, {"steps": calls}))
        x = noise
        with torch.no_grad():
            condition = parts[STRIDE](parts["conditioner"](inputs), torch.full((2,), calls))
            for index in range(calls):
                t = torch.full((2,), 1000 * (1 - index / calls))
                x = x - parts["denoiser"](x, t, condition) / calls
        torch.testing.assert_close(last.x0, x, atol=1e-4, rtol=1e-4)
    assert len({generator.sample(seed=1, steps=calls).images.sum().item() for calls in CALLS}) == len(CALLS)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"steps": 3}, "1, 2, 4, 8, 16 steps"),
        ({"sampler": {"kind": "heun"}}, "not in 4 of 'heun'"),
        ({"guidance_scale": 2.0}, "guidance of its teacher"),
    ],
)
def test_what_it_was_not_taught_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        few_step_generator().sample(**settings)


def test_a_negative_prompt_is_refused() -> None:
    generator = few_step_generator()
    with pytest.raises(UsageError, match="guidance of its teacher"):
        generator.generate(torch.ones(1, 3), [0], generator.sampling, torch.ones(1, 3))
