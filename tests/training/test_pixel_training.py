"""A denoiser trained straight on images: in colour and grey, augmented afresh, and where that is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.draws import draws_of
from support.tiny_dataset import write_dataset
from support.training_parts import denoising_recipe, write_latents
from torch import Tensor

from facegen.autoencoders import load_autoencoder
from facegen.config.recipe import Recipe, parse_recipe
from facegen.draws import Draws
from facegen.errors import DataError, UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.dataset import Dataset
from facegen.formats.images import to_unit
from facegen.models.loading import load
from facegen.nn.augmentation import Augmentation
from facegen.tasks.denoising import PixelSamples
from facegen.training.data_order import examples_at
from facegen.training.train import train
from facegen.training.wiring import wire_task

AUGMENTATION = {"flip": True, "rotation_degrees": 20, "shift": 0.1, "brightness": 0.2}
CLASSES = {"kind": "class_label", "dim": 8, "dropout": 0.0}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset") / "faces").folder


def pixel_recipe(
    data: Path,
    conditioner: dict[str, Any] | None = None,
    autoencoder: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    **augmentation: Any,
) -> Recipe:
    given = {"max_steps": 2, "batch_size": 4, "preview_every_steps": 2, "preview_images": 2}
    return parse_recipe(
        {
            "task": {"kind": "denoising", "validation_examples": 4},
            "data": {"path": str(data), "augmentation": augmentation or AUGMENTATION},
            "autoencoder": {"kind": "identity", **(autoencoder or {})},
            "denoiser": {"kind": "dit", "patch_size": 4, "width": 16, "depth": 1, "num_heads": 2},
            "conditioner": conditioner or {"kind": "none"},
            "training": {**given, **(training or {})},
            "sampling": {"steps": 2},
        }
    )


def batch_at(recipe: Recipe, step: int, indices: Tensor | None = None) -> Any:
    """The batch of a step, as the trainer asks for it."""
    task, seed = wire_task(recipe).task, recipe.training.seed
    count = recipe.training.batch_size if indices is None else len(indices)
    places = step * recipe.training.batch_size + torch.arange(count)
    if indices is None:
        indices = examples_at(places, task.num_examples, seed)
    return task.batch(indices, Draws(seed, places))


@pytest.mark.parametrize(("grey", "channels"), [(False, 3), (True, 1)])
def test_pixels_of_a_data_set_are_diffused_and_sampled(
    tmp_path: Path, dataset: Path, grey: bool, channels: int
) -> None:
    train(pixel_recipe(dataset, autoencoder={"grey": grey}), tmp_path / "run", device="cpu")
    info = load_checkpoint(tmp_path / "run").info
    assert info.image_size is not None
    assert info.sample_shape == (channels, info.image_size, info.image_size)
    generator = load(tmp_path / "run", "cpu")
    images = generator.generate(generator.conditioner.null_inputs(2), [0, 1], generator.sampling)
    assert images.shape == (2, 3, info.image_size, info.image_size)
    assert torch.equal(images[:, 0], images[:, 2]) == grey


def test_an_image_is_augmented_afresh_each_time_it_comes(dataset: Path) -> None:
    recipe, same = pixel_recipe(dataset), torch.tensor([3, 3, 7])
    first, again, later = (batch_at(recipe, step, same)["x0"] for step in (0, 0, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])
    assert all(not torch.allclose(a, b, atol=0.01) for a, b in zip(first, later, strict=True))
    plain = to_unit(Dataset.open(dataset).split("train").images(same))
    assert all(not torch.allclose(a, b, atol=0.01) for a, b in zip(first, plain, strict=True))


def test_augmentation_leaves_labels_alone(dataset: Path) -> None:
    recipe = pixel_recipe(dataset, CLASSES, tell_model=True, **AUGMENTATION)
    indices = torch.arange(11)
    plain = recipe.model_copy(update={"data": recipe.data.model_copy(update={"augmentation": None})})
    assert torch.equal(batch_at(recipe, 0, indices)["inputs"], batch_at(plain, 0, indices)["inputs"])


def test_validation_is_never_augmented(dataset: Path) -> None:
    recipe = pixel_recipe(dataset, CLASSES, tell_model=True, **AUGMENTATION)
    task: Any = wire_task(recipe).task
    validation = Dataset.open(dataset).split("validation")
    indices = torch.arange(len(validation))
    kept = to_unit(validation.images(indices))
    assert recipe.data.augmentation is not None
    colour = load_autoencoder("identity").module
    even_so = PixelSamples(validation, colour, augmentation=Augmentation(**recipe.data.augmentation.values()))
    assert torch.equal(even_so.held_out(indices, draws_of(len(indices))), kept)
    assert not torch.equal(even_so.draw(indices, draws_of(len(indices)))[0], kept)
    for image in task._validation["x0"]:
        assert any(torch.equal(image, other) for other in kept)
    assert task._validation.keys() == {"x0", "noise", "inputs"}
    train_images = to_unit(Dataset.open(dataset).split("train").images(torch.arange(11)))
    assert torch.allclose(task._mean, train_images.mean(0, keepdim=True), atol=1e-6)


def test_the_model_is_told_what_was_done_and_learns_from_it(dataset: Path) -> None:
    recipe = pixel_recipe(dataset, CLASSES, tell_model=True, **AUGMENTATION)
    batch, task = batch_at(recipe, 0), wire_task(recipe).task
    assert batch["augmentation"].shape == (4, 8)
    module: Any = task.build_module()
    for parameter in module["denoiser"].parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(0))
    told = task.losses(module, batch)["loss"]
    told.backward()
    weight = module["augmentation"].weight
    done = batch["augmentation"].any(0)
    assert weight.shape == (8, 8)
    assert torch.equal(weight.grad.abs().sum(0) > 0, done)
    untouched = {**batch, "augmentation": torch.zeros(4, 8)}
    untold = {name: value for name, value in batch.items() if name != "augmentation"}
    assert torch.equal(task.losses(module, untouched)["loss"], task.losses(module, untold)["loss"])
    assert not torch.equal(task.losses(module, untold)["loss"], told)


def test_without_telling_the_module_is_the_denoiser_and_conditioner_alone(dataset: Path) -> None:
    recipe = pixel_recipe(dataset, CLASSES, **AUGMENTATION)
    assert "augmentation" not in batch_at(recipe, 0)
    assert set(dict(wire_task(recipe).task.build_module().named_children())) == {"denoiser", "conditioner"}


def test_a_model_that_was_told_resumes_exactly_and_samples_untouched_faces(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = {"max_steps": 6, "checkpoint_every_steps": 3, "preview_every_steps": None}
    recipe = pixel_recipe(dataset, CLASSES, training=training, tell_model=True, **AUGMENTATION)
    train(recipe, tmp_path / "whole", device="cpu")
    with monkeypatch.context() as patch:
        patch.setattr("facegen.training.trainer.Trainer._train_step", _stops_at(4))
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "cut", device="cpu")
    train(recipe, tmp_path / "cut", resume=True, device="cpu")
    for name in ("model", "ema"):
        whole, cut = (load_checkpoint(tmp_path / run, "latest").weights(name) for run in ("whole", "cut"))
        assert "augmentation.weight" in whole
        assert all(torch.equal(whole[key], cut[key]) for key in whole)
    generator = load(tmp_path / "cut", "cpu")
    assert set(dict(generator.module.named_children())) == {"denoiser", "conditioner"}
    assert generator.generate(torch.tensor([0, 1]), [0, 1], recipe.sampling).shape == (2, 3, 16, 16)


def _stops_at(step: int) -> Any:
    from facegen.training.trainer import Trainer

    plain = Trainer._train_step

    def spied(self: Trainer, batch: Any) -> Any:
        if self.step == step:
            raise KeyboardInterrupt
        return plain(self, batch)

    return spied


def test_telling_needs_a_vector_to_add_to(tmp_path: Path, dataset: Path) -> None:
    with pytest.raises(UsageError, match="tell_model needs a conditioner that gives a vector") as refused:
        train(pixel_recipe(dataset, tell_model=True, **AUGMENTATION), tmp_path / "run")
    assert "--set data.augmentation.tell_model=false" in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_pixels_are_mirrored_by_their_augmentation_alone(dataset: Path, tmp_path: Path) -> None:
    recipe = pixel_recipe(dataset)
    flipped = recipe.model_copy(update={"data": recipe.data.model_copy(update={"flip": True})})
    with pytest.raises(UsageError, match=r"--set data\.augmentation\.flip=true"):
        train(flipped, tmp_path / "run")


def test_augmenting_what_is_encoded_or_not_diffused_is_refused(dataset: Path, tmp_path: Path) -> None:
    data = {"augmentation": {"flip": True}}
    latents = denoising_recipe(write_latents(tmp_path / "latents")).model_dump(mode="json")
    with pytest.raises(UsageError, match="latents cannot be augmented after encoding") as refused:
        train(parse_recipe({**latents, "data": {**latents["data"], **data}}), tmp_path / "run")
    assert "--flips" in str(refused.value)
    image_task = {"task": {"kind": "autoencoding"}, "training": {"max_steps": 1}}
    with pytest.raises(UsageError, match="is for denoisers of pixels and classifiers"):
        train(parse_recipe({**image_task, "data": {"path": str(dataset), **data}}), tmp_path / "run")


def test_an_autoencoder_that_compresses_wants_encoded_latents(tmp_path: Path, dataset: Path) -> None:
    recipe = pixel_recipe(dataset)
    with pytest.raises(UsageError, match="autoencoder 'identity', not 'compact'") as refused:
        train(recipe.model_copy(update={"autoencoder": {"kind": "compact"}}), tmp_path / "run")
    assert f"facegen encode {dataset}" in str(refused.value)


def test_latents_given_to_a_recipe_for_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="folder of latents"):
        train(pixel_recipe(write_latents(tmp_path / "latents")), tmp_path / "run")
