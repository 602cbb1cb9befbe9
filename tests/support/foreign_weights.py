"""What tests of weights that other programs saved share: recipes, networks, and what refuses them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from support.published_pipelines import diffusers
from torch import Tensor, nn

from facegen.config.kinds import load_kind
from facegen.config.recipe import Recipe, parse_recipe
from facegen.errors import FacegenError
from facegen.training.foreign import open_foreign
from facegen.training.warm_start import WarmStart, take_weights
from facegen.types import LabelSchema, SampleSpec

CLASSES = LabelSchema(classes={"age": tuple(map(str, range(1000)))})
NAMED = re.compile(r"--set (?:'([^']*)'|(\S+))")
LATENTS, PIXELS = SampleSpec((4, 8, 8)), SampleSpec((3, 8, 8))
UNET2D = {"kind": "unet2d", "block_out_channels": [8, 16], "layers_per_block": 1, "attention_levels": [1]}
UNET2D |= {"norm_num_groups": 4}
DDPM_PYTORCH = {"kind": "unet", "base_channels": 8, "channel_multipliers": [1, 2], "num_res_blocks": 1}
DDPM_PYTORCH |= {"self_attention_levels": [1], "num_heads": 2}


def recipe_of(denoiser: dict[str, Any], conditioner: dict[str, Any] | None = None, **more: Any) -> Recipe:
    training = {"max_steps": 1, "batch_size": 2}
    told = conditioner or {"kind": "none"}
    return parse_recipe(
        {
            "task": {"kind": "denoising"},
            "denoiser": denoiser,
            "conditioner": told,
            "training": training,
            "diffusion": {"parameterisation": "eps"},
            **more,
        }
    )


def mended(recipe: Recipe, error: FacegenError) -> Recipe:
    """`recipe` with the keys that an error tells to set."""
    data = recipe.model_dump(mode="json")
    for word in (quoted or plain for quoted, plain in NAMED.findall(error.hint or "")):
        key, _, value = word.partition("=")
        section, _, name = key.partition(".")
        told = value if value[0].isalpha() and value not in ("true", "false", "null") else json.loads(value)
        data[section] = {"kind": told} if name == "kind" else {**data[section], name: told}
    return parse_recipe(data)


def module_of(recipe: Recipe, sample: SampleSpec) -> nn.ModuleDict:
    """The networks of `recipe` with random weights, as its task trains them."""
    told, denoiser = recipe.section("conditioner"), recipe.section("denoiser")
    conditioner: Any = load_kind("conditioners", told.kind).build(told, CLASSES, sample)
    network: Any = load_kind("denoisers", denoiser.kind).build(denoiser, sample, conditioner.spec)
    return nn.ModuleDict({"denoiser": network, "conditioner": conditioner}).eval()


def begun(source: Path, recipe: Recipe, sample: SampleSpec, weights: Any = "ema") -> tuple[Any, WarmStart]:
    origin, module = open_foreign(source, weights, recipe), module_of(recipe, sample)
    assert origin is not None
    return module, take_weights(module, origin, source, [])


def refused(source: Path, recipe: Recipe, weights: Any = "ema") -> FacegenError:
    with pytest.raises(FacegenError) as told:
        open_foreign(source, weights, recipe)
    return told.value


def noise(sample: SampleSpec) -> tuple[Tensor, Tensor]:
    torch.manual_seed(5)
    return torch.randn(3, *sample.shape), torch.tensor([0.0, 400.0, 999.0])


def theirs(folder: Path, **changed: Any) -> Any:
    name = json.loads((folder / "config.json").read_text("utf-8"))["_class_name"]
    return getattr(diffusers, name).from_pretrained(folder, low_cpu_mem_usage=False, **changed).eval()
