"""What of a run is exported: its parts and its description, checked for what an export can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facegen.autoencoders import load_autoencoder
from facegen.config.recipe import FEW_STEP
from facegen.errors import UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.models.fixed_rows import decoded
from facegen.models.generator import FaceGenerator
from facegen.models.loading import autoencoder_source, load
from facegen.models.published_pipeline import is_pipeline
from facegen.types import PromptReading

CONDITIONERS = ("none", "attributes", "class_label", "text")
COMPARED = 2  # pictures, whose noise is their own seed's
CAPTION = "a smiling face"


@dataclass(frozen=True)
class Exported:
    """A generator, and the configuration of its autoencoder; None for one of diffusers'."""

    generator: FaceGenerator
    autoencoder: dict[str, Any] | None

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The sections of its recipe."""
        return self.generator.described

    def kind(self, section: str) -> str:
        """The kind that a section of the recipe names."""
        return str(self.recipe[section]["kind"])

    @property
    def text_encoder(self) -> Any:
        """The frozen encoder of a model of captions, else None."""
        conditioner: Any = self.generator.conditioner
        return conditioner.encoder if self.kind("conditioner") == "text" else None

    @property
    def is_led_by_weak(self) -> bool:
        """Whether its guidance comes from the model as it was early in its run."""
        return self.generator.weak is not None and self.generator.sampling.guidance_from == "weak"

    def description(self) -> dict[str, Any]:
        """What `portable.FacegenModel` is built from, as JSON."""
        generator = self.generator
        encoder = self.text_encoder
        return {
            "recipe": {
                "denoiser": self.recipe["denoiser"],
                "conditioner": self.recipe["conditioner"] | ({"encoder": "text_encoder"} if encoder else {}),
                "diffusion": self.recipe["diffusion"],
                "autoencoder": self.autoencoder,
            },
            "sample_shape": list(generator.sample_spec.shape),
            "latent_scaling": {
                "shift": list(generator.scaling.shift),
                "scale": list(generator.scaling.scale),
            },
            "attributes": list(generator.labels.attributes),
            "classes": {name: list(each) for name, each in generator.labels.classes.items()},
            "text_dim": None if encoder is None else encoder.token_dim,
            "few_steps": self.recipe["task"]["kind"] == FEW_STEP,
            "weak": self.is_led_by_weak,
        }

    def weights(self) -> dict[str, Tensor]:
        """All weights, named as in a checkpoint; those of an autoencoder of our own begin with its name."""
        named: dict[str, Tensor] = dict(self.generator.module.state_dict())
        if self.is_led_by_weak and self.generator.weak is not None:
            named |= {f"weak_{name}": value for name, value in self.generator.weak.state_dict().items()}
        if self.autoencoder is not None:
            module: Any = self.generator.autoencoder
            named |= {f"autoencoder.{name}": value for name, value in module.state_dict().items()}
        return {name: value.detach().cpu().clone().contiguous() for name, value in named.items()}

    def request(self) -> dict[str, Any]:
        """What the compared pictures are asked for, in the words of `portable.FacegenPipeline`."""
        if self.text_encoder is not None:
            return {"prompt": CAPTION}
        if self.kind("conditioner") == "attributes":
            return {"attributes": {self.generator.attributes[0]: 1.0}}
        return {"class_label": self.generator.classes[0]} if self.generator.classes else {}

    def inputs(self) -> Tensor:
        """Condition inputs (B, ...) that ask for `request`."""
        asked = self.request()
        labels = {CAPTION: 1.0} if "prompt" in asked else asked.get("attributes", {})
        if "class_label" in asked:
            labels = {asked["class_label"]: 1.0}
        return self.generator.inputs_for(PromptReading(labels), COMPARED)

    def pictures(self, seed: int) -> Tensor:
        """What facegen draws for `request`, before rounding: (B, 3, H, W) in [0, 1]."""
        generator = self.generator
        walk = generator.trajectory(self.inputs(), range(seed, seed + COMPARED), generator.sampling)
        x0 = generator.scaling.invert([step.x0 for step in walk][-1])
        images = decoded(generator.autoencoder, x0, generator.image_size, generator.device)
        return (images / 2 + 0.5).clamp(0, 1)


def opened(run: Path, weights: Any) -> Exported:
    """The model of a run, on the CPU.

    Raises:
        UsageError: a pipeline of diffusers already, or a model that is asked in a way no export has.
    """
    if is_pipeline(run):
        raise UsageError(
            f"'{run}' is a pipeline of diffusers already.", hint="DiffusionPipeline.from_pretrained opens it."
        )
    generator = load(run, torch.device("cpu"), weights)
    recipe = generator.described
    for section in ("denoiser", "conditioner"):
        if ":" in recipe[section]["kind"]:
            raise UsageError(
                f"{section}.kind '{recipe[section]['kind']}' is code from outside; exports have none.",
                hint="Give its file along with the run; a run is opened with --allow-outside-code.",
            )
    if recipe["conditioner"]["kind"] not in CONDITIONERS:
        raise UsageError(
            f"This model is asked with {generator.trained_on}; exported are models of attributes, classes, "
            "captions or nothing.",
            hint=f"Use it here: facegen sample {run} --like PHOTO",
        )
    loaded = load_autoencoder(autoencoder_source(load_checkpoint(run)))
    return Exported(generator, None if loaded.config is None else loaded.config.model_dump(mode="json"))
