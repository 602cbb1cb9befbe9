"""The module that a recipe trains, built on torch's meta device and run once while its dataflow is watched.

A meta tensor has a shape and no numbers: nothing is computed, and a network of any size is through at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from facegen.compat import guard_torchvision
from facegen.config.kinds import load_kind
from facegen.config.recipe import FAMILY_OF_SECTION, Recipe
from facegen.datasets.avatars import ATTRIBUTES as AVATAR_ATTRIBUTES
from facegen.datasets.utkface import AGE_GROUPS, GENDERS, RACES
from facegen.formats.checkpoint import CheckpointInfo, load_checkpoint
from facegen.nn.augmentation import NUM_PARAMETERS
from facegen.nn.class_head import ClassHead
from facegen.nn.dataflow import Dataflow
from facegen.nn.discriminator import Discriminator
from facegen.plotting.subjects import Subject
from facegen.tasks.attribute_classification import build_network, classified_labels
from facegen.types import LabelSchema, SampleSpec
from facegen.vocabulary.classes import classes_of

CELEBA = LabelSchema(attributes=("Smiling", *(f"attribute {number}" for number in range(2, 41))))
UTKFACE = LabelSchema(classes={"race": RACES, "gender": GENDERS, "age_group": tuple(AGE_GROUPS)})
FOLDERS = LabelSchema(classes={"class": tuple(f"class {number}" for number in range(1, 6))})
AVATARS = LabelSchema(attributes=AVATAR_ATTRIBUTES)
TEXT_WIDTHS = {"openai/clip-vit-base-patch32": 512, "openai/clip-vit-large-patch14": 768}
CLIP_TOKENS = 77
OF_DIFFUSERS = {
    "unet2d_condition": "diffusers.models.unets.unet_2d_condition",
    "kl": "diffusers.models.autoencoders.autoencoder_kl",
    "tiny": "diffusers.models.autoencoders.autoencoder_tiny",
}


@dataclass(frozen=True)
class Known:
    """What a module depends on beside its recipe: labels, shape of a sample, pixels a side of an image."""

    labels: LabelSchema
    sample_shape: tuple[int, ...]
    image_size: int
    assumed: tuple[str, ...] = ()  # what nobody told, in words


ATTRIBUTES = ("CelebA's 40 attributes",)
ON_CELEBA = Known(CELEBA, (4, 16, 16), 64, (*ATTRIBUTES, "latents of 4 × 16 × 16"))
LATENTS_OF_256 = (4, 32, 32)
AT_256 = replace(ON_CELEBA, sample_shape=LATENTS_OF_256, image_size=256)
ON_UTKFACE = Known(UTKFACE, (3, 64, 64), 64, ("UTKFace's 5 races", "64 × 64 pixels"))
PRESETS = {
    "avatars": replace(ON_CELEBA, labels=AVATARS, assumed=("17 attributes", "latents of 4 × 16 × 16")),
    "avatars-classifier": replace(ON_CELEBA, labels=AVATARS, assumed=("17 attributes", "64 × 64 pixels")),
    "attribute-classifier": replace(ON_CELEBA, assumed=(*ATTRIBUTES, "64 × 64 pixels")),
    "celeba-attributes": ON_CELEBA,
    "attribute-ldm": replace(AT_256, assumed=(*ATTRIBUTES, "latents of 4 × 32 × 32")),
    "text-ldm": replace(AT_256, assumed=("latents of 4 × 32 × 32",)),
    "latent-vector": replace(ON_CELEBA, assumed=("latents of 4 × 16 × 16",)),
    "vector-diffusion": replace(ON_CELEBA, sample_shape=(256,), assumed=("latents of 256 numbers",)),
    "class-classifier": replace(ON_CELEBA, labels=FOLDERS, assumed=("5 classes", "64 × 64 pixels")),
    "pixel-class": ON_UTKFACE,
    "pixel-class-small": ON_UTKFACE,
    "pixel-128": Known(CELEBA, (3, 128, 128), 128, ("128 × 128 pixels",)),
    "pixel-32": Known(CELEBA, (3, 32, 32), 32, ("32 × 32 pixels",)),
    "pixel-28-grey": Known(CELEBA, (1, 28, 28), 28, ("28 × 28 grey pixels",)),
    "vae-gan": replace(ON_CELEBA, assumed=("64 × 64 pixels",)),
}
ELSE = replace(ON_CELEBA, assumed=("64 × 64 pixels",))


@dataclass(frozen=True)
class Built:
    """The module as it is trained, what runs it once, and what was assumed for it."""

    module: nn.Module
    run: Callable[[Dataflow], None]
    assumed: tuple[str, ...]


def known_of(subject: Subject) -> Known:
    """What the checkpoint of a run says; of a preset, what its comments say it is meant for.

    Raises:
        MissingModelError, StorageError: the run has no checkpoint, or it cannot be read.
    """
    if subject.folder is None:
        return PRESETS.get(subject.name, ELSE)
    info: CheckpointInfo = load_checkpoint(subject.folder).info
    size = info.image_size or ELSE.image_size
    return Known(info.labels, info.sample_shape or (3, size, size), size)


def build(recipe: Recipe, known: Known) -> Built:
    """The module that the recipe trains, for what is `known`, on the default device of the moment.

    Raises:
        UsageError: the recipe does not fit the labels or the shape.
        MissingModelError: a text encoder whose width is not known is not to be had.
    """
    kind = recipe.task["kind"]
    if kind == "denoising":
        return _denoising(recipe, known)
    if kind == "attribute_classification":
        config = recipe.section("task")
        network = build_network(config, len(classified_labels(config, known.labels)), known.image_size)
        return Built(network, lambda flow: _classify(flow, network, known.image_size), known.assumed)
    autoencoder = _kind(recipe, "autoencoder")
    if kind == "adversarial_autoencoding":
        module = _with_adversary(recipe, autoencoder, known)
        return Built(module, lambda flow: _reconstruct(flow, module, known.image_size), known.assumed)
    return Built(autoencoder, lambda flow: _reconstruct(flow, autoencoder, known.image_size), known.assumed)


def import_kinds(recipe: Recipe) -> None:
    """Import what building takes: imported on the meta device, a package keeps constants without numbers."""
    for section, family in FAMILY_OF_SECTION.items():
        kind = (getattr(recipe, section) or {}).get("kind")
        if kind is not None:
            load_kind(family, kind)
        if kind in OF_DIFFUSERS:
            guard_torchvision()
            import_module(OF_DIFFUSERS[kind])


def trace(built: Built, modules: Iterable[str], parameters: Iterable[str]) -> Dataflow:
    """The dataflow of one forward pass with a batch of one, on the default device of the moment."""
    flow = Dataflow(built.module, modules, parameters)
    built.module.eval()
    with torch.no_grad(), flow.watching():
        built.run(flow)
    return flow


def _kind(recipe: Recipe, section: str, *args: Any) -> Any:
    config = recipe.section(section)
    return load_kind(f"{section}s", config.kind).build(config, *args)


def _denoising(recipe: Recipe, known: Known) -> Built:
    sample = SampleSpec(known.sample_shape)
    conditioner = _kind(recipe, "conditioner", known.labels, sample)
    width = TEXT_WIDTHS.get(getattr(conditioner, "encoder_name", ""))
    assumed = known.assumed
    if width is not None and hasattr(conditioner, "attach_table"):  # the encoder itself is not needed
        ones = torch.ones(1, CLIP_TOKENS, dtype=torch.bool)
        conditioner.attach_table([""], torch.zeros(1, CLIP_TOKENS, width), ones)
        assumed = (*assumed, f"{CLIP_TOKENS} tokens of {width} numbers from {conditioner.encoder_name}")
    parts = {"denoiser": _kind(recipe, "denoiser", sample, conditioner.spec), "conditioner": conditioner}
    augmentation = recipe.data.augmentation
    if augmentation is not None and augmentation.tell_model:
        parts["augmentation"] = nn.Linear(NUM_PARAMETERS, conditioner.spec.vector_dim, bias=False)
    module = nn.ModuleDict(parts)
    words = CONDITION_INPUTS.get(recipe.section("conditioner").kind, "condition")
    return Built(module, lambda flow: _denoise(flow, module, known.sample_shape, words), assumed)


CONDITION_INPUTS = {
    "attributes": "attributes",
    "class_label": "class",
    "text": "tokens of the text encoder",
    "image_features": "features of a photo",
    "semantic_encoder": "clean sample",
}


def _denoise(flow: Dataflow, parts: Any, sample_shape: tuple[int, ...], condition: str) -> None:
    flow.phase = "condition"
    inputs = parts["conditioner"].null_inputs(1)
    from_table = condition == CONDITION_INPUTS["text"]  # looked up, in a table that is no part of the module
    if inputs.numel() and not from_table:
        inputs = flow.input(condition, inputs)
    conditioning = parts["conditioner"](inputs)
    if from_table:
        for tensor in (conditioning.tokens, conditioning.vector):
            flow.input(condition, tensor)
    if "augmentation" in parts:
        told = flow.input("augmentation parameters", torch.zeros(1, NUM_PARAMETERS))
        conditioning = replace(conditioning, vector=conditioning.vector + parts["augmentation"](told))
    timestep = flow.input("time step t", torch.zeros(1))
    flow.phase = "main"
    x_t = flow.input("noisy sample xₜ", torch.zeros(1, *sample_shape))
    flow.output("prediction", parts["denoiser"](x_t, timestep, conditioning))


def _classify(flow: Dataflow, network: nn.Module, image_size: int) -> None:
    flow.phase = "main"
    images = flow.input("image", torch.zeros(1, 3, image_size, image_size))
    flow.output("logits", network(images))


def _with_adversary(recipe: Recipe, autoencoder: Any, known: Known) -> nn.ModuleDict:
    config = recipe.section("task")
    module = nn.ModuleDict(
        {"autoencoder": autoencoder, "discriminator": Discriminator(config.discriminator_widths)}
    )
    if config.class_column is not None:
        classes = classes_of(known.labels, config.class_column, "task.class_column")
        module["class_head"] = ClassHead(len(classes), autoencoder.latent_shape(known.image_size)[0])
    return module


def _reconstruct(flow: Dataflow, module: nn.Module, image_size: int) -> None:
    """Encode and decode; where there is an adversary, let it and the class head judge."""
    parts: Any = module if isinstance(module, nn.ModuleDict) else {"autoencoder": module}
    autoencoder = parts["autoencoder"]
    flow.phase = "encode"
    latent: Tensor = autoencoder.encode(flow.input("image", torch.zeros(1, 3, image_size, image_size))).mean
    flow.phase = "latent"
    flow.output("latent z (mean)", latent)
    latent = flow.input("latent z (mean)", latent)
    if "class_head" in parts:
        flow.phase = "class head"
        flow.output("class logits", parts["class_head"](latent))
    flow.phase = "decode"
    image = autoencoder.decode(latent)
    flow.output("reconstruction", image)
    if "discriminator" in parts:
        flow.phase = "discriminator"
        flow.output("real or fake", parts["discriminator"](flow.input("reconstruction", image)))
