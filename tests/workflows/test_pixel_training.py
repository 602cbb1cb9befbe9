"""A denoiser trained straight on images: in colour and grey, and where that is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_dataset import write_dataset
from support.training_parts import write_latents

from facegen.config.recipe import Recipe, parse_recipe
from facegen.errors import DataError, UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.workflows.generator import FaceGenerator
from facegen.workflows.train import train


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset") / "faces").folder


def pixel_recipe(data: Path, **autoencoder: Any) -> Recipe:
    return parse_recipe(
        {
            "task": {"kind": "denoising", "validation_examples": 4},
            "data": {"path": str(data), "augmentation": {"flip": True}},
            "autoencoder": {"kind": "identity", **autoencoder},
            "denoiser": {"kind": "dit", "patch_size": 4, "width": 16, "depth": 1, "num_heads": 2},
            "conditioner": {"kind": "none"},
            "training": {"max_steps": 2, "batch_size": 4, "preview_every_steps": 2, "preview_images": 2},
            "sampling": {"steps": 2},
        }
    )


@pytest.mark.parametrize(("grey", "channels"), [(False, 3), (True, 1)])
def test_pixels_of_a_data_set_are_diffused_and_sampled(
    tmp_path: Path, dataset: Path, grey: bool, channels: int
) -> None:
    train(pixel_recipe(dataset, grey=grey), tmp_path / "run", device="cpu")
    info = load_checkpoint(tmp_path / "run").info
    assert info.image_size is not None
    assert info.sample_shape == (channels, info.image_size, info.image_size)
    generator = FaceGenerator.load(tmp_path / "run", "cpu")
    images = generator.generate(generator.conditioner.null_inputs(2), [0, 1], generator.recipe.sampling)
    assert images.shape == (2, 3, info.image_size, info.image_size)
    assert torch.equal(images[:, 0], images[:, 2]) == grey


def test_an_autoencoder_that_compresses_wants_encoded_latents(tmp_path: Path, dataset: Path) -> None:
    recipe = pixel_recipe(dataset)
    with pytest.raises(UsageError, match="autoencoder 'identity', not 'compact'") as refused:
        train(recipe.model_copy(update={"autoencoder": {"kind": "compact"}}), tmp_path / "run")
    assert f"facegen encode {dataset}" in str(refused.value)


def test_latents_given_to_a_recipe_for_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="folder of latents"):
        train(pixel_recipe(write_latents(tmp_path / "latents")), tmp_path / "run")
