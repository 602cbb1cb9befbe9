"""Every task kind keeps its family's contract: all chance in `batch`, losses a pure function of it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from support.draws import draws_of
from support.tiny_dataset import write_dataset
from support.training_parts import denoising_recipe, write_latents

from facegen.config.composition import compose
from facegen.config.kinds import kinds_of
from facegen.config.recipe import Recipe, parse_recipe
from facegen.protocols import TaskByImage, TrainingTask
from facegen.training.train import train
from facegen.training.wiring import wire_task

PRESETS = {
    "adversarial_autoencoding": "vae-gan",
    "attribute_classification": "attribute-classifier",
    "autoencoding": "celeba-autoencoder",
}
KINDS = (*PRESETS, "denoising", "few_step")
INDICES = torch.tensor([3, 0, 7, 5])


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recipe]:
    folder = tmp_path_factory.mktemp("tasks")
    faces = write_dataset(folder / "faces", {"train": 12, "validation": 6}, 64).folder
    recipes = {
        kind: compose(preset, overrides=[f"data.path={faces}"], size="smoke")
        for kind, preset in PRESETS.items()
    }
    denoising = denoising_recipe(write_latents(folder / "latents"))
    train(denoising, folder / "teacher", device="cpu")
    changes = {
        "task": {"kind": "few_step", "teacher": str(folder / "teacher")},
        "sampling": {"sampler": {"kind": "euler"}, "steps": 4, "guidance_scale": 1.0},
    }
    few_step = parse_recipe({**denoising.model_dump(mode="json"), **changes})
    return {**recipes, "denoising": denoising, "few_step": few_step}


@pytest.fixture
def task(request: pytest.FixtureRequest, recipes: dict[str, Recipe]) -> TrainingTask:
    torch.manual_seed(0)
    return wire_task(recipes[request.node.callspec.params["kind"]]).task


def batch_of(task: TrainingTask, seed: int = 1) -> dict[str, torch.Tensor]:
    batch = dict(task.batch(INDICES, draws_of(len(INDICES), seed)))
    return {**batch, "done": torch.full((len(INDICES),), 0.9)}  # as the trainer adds it


def module_of(task: TrainingTask) -> torch.nn.Module:
    torch.manual_seed(0)
    module = task.build_module()
    with torch.no_grad():  # zero-initialised parts hide everything before them
        for parameter in module.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return module


def test_every_task_kind_is_under_contract() -> None:
    assert set(KINDS) == set(kinds_of("tasks"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_a_function_of_its_examples_and_seed(kind: str, task: TrainingTask) -> None:
    first, again, other = batch_of(task), batch_of(task), batch_of(task, seed=2)
    assert first.keys() == again.keys()
    assert all(len(part) == len(INDICES) and part.device.type == "cpu" for part in first.values())
    assert all(torch.equal(part.nan_to_num(), again[name].nan_to_num()) for name, part in first.items())
    assert any(not torch.equal(part.nan_to_num(), other[name].nan_to_num()) for name, part in first.items())
    assert task.num_examples >= len(INDICES)


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_pure_finite_means_and_reach_the_weights(kind: str, task: TrainingTask) -> None:
    module, batch = module_of(task).train(), batch_of(task)
    state = torch.get_rng_state()
    losses, again = task.losses(module, batch), task.losses(module, batch)
    assert torch.equal(torch.get_rng_state(), state)
    for name, loss in losses.items():
        assert loss.shape == ()
        assert loss.dtype == torch.float32
        assert math.isfinite(loss.item()), name
        assert torch.equal(loss, again[name])
    losses["loss"].backward()
    reached = [parameter.grad is not None for parameter in module.parameters() if parameter.requires_grad]
    assert all(reached)


@pytest.mark.parametrize("kind", KINDS)
def test_halves_of_a_batch_have_the_loss_of_the_whole(kind: str, task: TrainingTask) -> None:
    module, batch = module_of(task), batch_of(task)
    halves = [{name: part[rows] for name, part in batch.items()} for rows in (slice(0, 2), slice(2, 4))]
    whole = task.losses(module, batch)["loss"].item()
    parts = [task.losses(module, half)["loss"].item() for half in halves]
    assert sum(parts) / 2 == pytest.approx(whole, rel=WITHIN.get(kind, 1e-4))


WITHIN = {"attribute_classification": 0.6}  # the mean is over the labels that are known, not over images


@pytest.mark.parametrize("kind", KINDS)
def test_validation_scores_without_leaving_a_trace(kind: str, task: TrainingTask) -> None:
    module = module_of(task)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    scores, again = (task.validate(module, torch.device("cpu")) for _ in range(2))
    assert math.isfinite(scores["loss"])
    assert scores["loss"] == again["loss"]
    assert isinstance(scores["verdict"], str)
    if kind != "attribute_classification":  # calibrates its own buffers
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_a_module_comes_back_from_its_state_dict(kind: str, task: TrainingTask, tmp_path: Path) -> None:
    module, copy = module_of(task), task.build_module()
    copy.load_state_dict(module.state_dict(), strict=True)
    batch = batch_of(task)
    assert torch.equal(task.losses(module.eval(), batch)["loss"], task.losses(copy.eval(), batch)["loss"])


@pytest.mark.parametrize("kind", ["autoencoding", "denoising"])
def test_losses_by_image_are_what_the_held_out_loss_is_the_mean_of(kind: str, task: TrainingTask) -> None:
    assert isinstance(task, TaskByImage)
    module = module_of(task).eval()
    losses = task.losses_by_image(module, "cpu")
    assert len(losses) > 1
    assert losses.mean().item() == pytest.approx(task.validate(module, "cpu")["loss"], rel=1e-5)
