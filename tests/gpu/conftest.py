"""What a GPU is given to train: made-up latents, and a network of a size that it is not bored by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.training_parts import denoising_recipe, write_latents

from facegen.config.recipe import Recipe, parse_recipe

NETWORKS = {
    "cpu": {"patch_size": 4, "width": 16, "depth": 1, "num_heads": 2},
    "cuda": {"patch_size": 2, "width": 256, "depth": 4, "num_heads": 4},
}

RecipeOn = Callable[..., Recipe]
"""A recipe for a device, with changes to its `training` section."""


@pytest.fixture(scope="module")
def recipe_on(tmp_path_factory: pytest.TempPathFactory) -> RecipeOn:
    latents = write_latents(tmp_path_factory.mktemp("gpu") / "latents", {"train": 512, "validation": 12})

    def recipe(device: str, **training: Any) -> Recipe:
        settings = {"trackers": [], "compile": False, "validate_every_steps": 10_000, **training}
        settings.setdefault("checkpoint_every_steps", 10_000)
        made = denoising_recipe(latents, **settings).model_dump(mode="json")
        return parse_recipe({**made, "denoiser": {"kind": "dit", **NETWORKS[device]}})

    return recipe
