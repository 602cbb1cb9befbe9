"""Teaching a model to draw in few calls: what it is taught, how it is then asked, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.draws import draws_of
from support.generator_parts import tiny_generator, tiny_recipe
from support.training_parts import denoising_recipe, write_latents
from torch import Tensor, nn

from facegen.conditioners.attributes import Config as ConditionerConfig
from facegen.conditioners.attributes import build as build_conditioner
from facegen.config.recipe import DiffusionConfig, Recipe, SamplingConfig, parse_recipe
from facegen.diffusion.denoiser import Denoiser
from facegen.diffusion.walk import Sampler
from facegen.errors import UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.checkpoint_head import list_checkpoints
from facegen.formats.latents import LatentStore
from facegen.models.generator import sampling_with
from facegen.models.loading import load
from facegen.models.objective import objective_of
from facegen.models.walking import walk_of
from facegen.nn.strides import CALLS, STRIDE, Strides
from facegen.tasks.denoising import latent_samples
from facegen.tasks.few_step import Config, FewStepTask, _chosen, build
from facegen.training.train import train
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


def heun(
    model: Denoiser, condition: Conditioning, null: Conditioning, steps: int, weak: Any = None
) -> Sampler:
    return walk_of(model, condition, null, SamplingConfig(sampler={"kind": "heun"}, steps=steps))


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
        walk=heun,
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


def teacher_of(latents: LatentStore, folder: Path, **sections: Any) -> Path:
    """A run of ten steps with large weights, so that labels and guidance show."""
    recipe = denoising_recipe(latents.folder).model_dump(mode="json")
    sampling = {"guidance_scale": 2.0, "guidance_interval": (0.1, 0.9), "clip_x0": 1.5, "steps": 6}
    changed = parse_recipe({**recipe, "optimizer": {"lr": 0.05}, "sampling": sampling, **sections})
    train(changed, folder, device="cpu")
    return folder


@pytest.fixture(scope="module")
def teacher(latents: LatentStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teacher_of(latents, tmp_path_factory.mktemp("runs") / "teacher")


def student_of(latents: LatentStore, teacher: Path | str | None, **sections: Any) -> Recipe:
    recipe = denoising_recipe(latents.folder).model_dump(mode="json")
    changes: dict[str, Any] = {
        "task": {"kind": "few_step", "teacher": None if teacher is None else str(teacher)},
        "sampling": {"sampler": {"kind": "euler"}, "steps": 4},
    }
    return parse_recipe({**recipe, **changes, **sections})


AUTOGUIDED = {
    "training": {"max_steps": 10, "batch_size": 16, "weak_at": 0.3},
    "sampling": {"guidance_scale": 2.5, "guidance_from": "weak", "steps": 6},
}


@pytest.mark.parametrize("sections", [{}, AUTOGUIDED], ids=["guided", "autoguided"])
def test_it_begins_as_its_teacher_and_walks_as_it_does(
    latents: LatentStore, tmp_path: Path, sections: dict[str, Any]
) -> None:
    teacher = teacher_of(latents, tmp_path / "teacher", **sections)
    task: Any = wire_task(student_of(latents, teacher)).task
    module, weights = task.build_module(), load_checkpoint(teacher).weights("ema")
    assert all(torch.equal(module.state_dict()[name], value) for name, value in weights.items())
    assert not module[STRIDE].vectors.any()

    generator = load(teacher, "cpu")
    batch, seeds = task.batch(torch.arange(4), draws_of(4)), [1, 2, 3, 4]
    states, times = task._walk(batch["inputs"], generator.noise(seeds))
    settings = sampling_with(generator.sampling, {"steps": 16})
    steps = list(generator.trajectory(batch["inputs"], seeds, settings))
    assert times.tolist() == pytest.approx([1000, *(step.timestep for step in steps)])
    for state, step in zip(states[1:], steps, strict=True):
        torch.testing.assert_close(state, step.x_t, atol=1e-4, rtol=1e-3)


def test_learning_leaves_the_teacher_alone_and_brings_its_walk_nearer(
    latents: LatentStore, teacher: Path, tmp_path: Path
) -> None:
    training = {"max_steps": 60, "batch_size": 8, "validate_every_steps": 60, "log_every_steps": 60}
    recipe = student_of(latents, teacher, training=training, optimizer={"lr": 3e-3}, ema={"decay": 0.9})
    task: Any = wire_task(recipe).task
    before = task.validate(task.build_module(), "cpu")["loss"]
    found = train(recipe, tmp_path / "few", device="cpu").validation
    assert found["loss"] < 0.9 * before
    assert "4: " in found["verdict"]
    weights = load_checkpoint(teacher).weights("ema")
    again: Any = wire_task(recipe).task.build_module().state_dict()
    assert all(torch.equal(again[name], value) for name, value in weights.items())
    told = (tmp_path / "few" / "checkpoints" / "step-00000060" / "checkpoint.json").read_text("utf-8")
    assert str(teacher) not in told  # where it lies is nobody's business; which weights they were, is
    assert (
        json.loads(told)["recipe"]["task"]["teacher_sha256"]
        == load_checkpoint(teacher).info.files["ema.safetensors"]
    )


def test_a_run_goes_on_with_the_same_teacher_elsewhere_and_with_no_other(
    latents: LatentStore, teacher: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(teacher, moved)
    training = {"max_steps": 4, "batch_size": 8, "checkpoint_every_steps": 2, "validate_every_steps": 4}
    run = tmp_path / "few"
    train(student_of(latents, moved, training=training), run, device="cpu")
    shutil.rmtree(moved)
    shutil.rmtree(list_checkpoints(run)[-1])
    elsewhere = student_of(latents, teacher, training=training)
    train(elsewhere, run, resume=True, device="cpu")
    other = teacher_of(latents, tmp_path / "other", ema={"decay": 0.5})
    shutil.rmtree(list_checkpoints(run)[-1])
    with pytest.raises(UsageError, match="teacher_sha256"):
        train(student_of(latents, other, training=training), run, resume=True, device="cpu")


def test_double_precision_and_two_micro_batches_are_the_same_loss(
    latents: LatentStore, teacher: Path, tmp_path: Path
) -> None:
    training = {"max_steps": 2, "batch_size": 8, "precision": "fp64"}
    losses = [
        train(
            student_of(latents, teacher, training={**training, "accumulation_steps": parts}),
            tmp_path / str(parts),
            device="cpu",
        ).validation["loss"]
        for parts in (1, 2)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"diffusion": {"parameterisation": "v"}}, "diffusion"),
        ({"conditioner": {"kind": "attributes", "dim": 8, "attributes": ["Smiling"]}}, "conditioner"),
        ({"denoiser": {"kind": "dit", "patch_size": 4, "width": 32, "depth": 1}}, "denoiser"),
    ],
)
def test_a_teacher_of_another_kind_is_refused(
    latents: LatentStore, teacher: Path, sections: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=f"differs from this recipe or its data: {said}"):
        wire_task(student_of(latents, teacher, **sections))


def test_a_teacher_of_other_data_or_another_task_is_refused(
    latents: LatentStore, teacher: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(teacher, copy)
    told = list_checkpoints(copy)[-1] / "checkpoint.json"
    info = json.loads(told.read_text(encoding="utf-8"))
    changes: list[tuple[dict[str, Any], str]] = [
        ({"autoencoder": {"fingerprint": "0" * 64}}, "autoencoder"),
        ({"labels": {"attributes": info["labels"]["attributes"][::-1], "classes": {}}}, "labels"),
        ({"recipe": {**info["recipe"], "task": {"kind": "few_step"}}}, "of task 'few_step'"),
    ]
    for change, said in changes:
        told.write_text(json.dumps({**info, **change}), encoding="utf-8")
        with pytest.raises(UsageError, match=said):
            wire_task(student_of(latents, told.parent))


def test_a_teacher_whose_walk_is_random_is_refused(latents: LatentStore, tmp_path: Path) -> None:
    random = teacher_of(latents, tmp_path / "random", sampling={"sampler": {"kind": "dpmpp_2m_sde"}})
    with pytest.raises(UsageError, match="adds noise on its way"):
        train(student_of(latents, random), tmp_path / "few", device="cpu")


def test_what_it_could_not_draw_by_is_refused_before_training(latents: LatentStore, teacher: Path) -> None:
    with pytest.raises(UsageError, match="learns from a model") as caught:
        wire_task(student_of(latents, None))
    assert "task.teacher=RUN" in str(caught.value.hint)
    with pytest.raises(UsageError, match="not 20 by 'dpmpp_2m'"):
        wire_task(student_of(latents, teacher, sampling={}))
    with pytest.raises(UsageError, match="flow"):
        make(latents, parameterisation="eps")
    with pytest.raises(ValueError, match="multiple of 16"):
        Config(teacher="a run", teacher_steps=20)


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
        ({"steps": 3}, "not 3 by 'euler'"),
        ({"sampler": {"kind": "heun"}}, "not 4 by 'heun'"),
        ({"guidance_scale": 2.0}, "guidance and clipping of its teacher"),
    ],
)
def test_what_it_was_not_taught_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        few_step_generator().sample(**settings)


def test_a_negative_prompt_is_refused() -> None:
    generator = few_step_generator()
    with pytest.raises(UsageError, match="guidance and clipping of its teacher"):
        generator.generate(torch.ones(1, 3), [0], generator.sampling, torch.ones(1, 3))
