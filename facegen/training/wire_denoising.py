"""Wiring of the denoising task: latents or pixels, a conditioner, a network, and previews of faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facegen.autoencoders import load_autoencoder
from facegen.config.kinds import load_kind
from facegen.config.recipe import Recipe
from facegen.diffusion.process import Process
from facegen.errors import UsageError
from facegen.formats.latents import ImageFeatures, TextEmbeddings
from facegen.models.generator import FaceGenerator
from facegen.nn.augmentation import NUM_PARAMETERS, Augmentation
from facegen.protocols import SampleConditioner
from facegen.tasks.denoising import PixelSamples, Samples, latent_samples
from facegen.training.checkpointing import ModelCard
from facegen.training.data_order import seed_for
from facegen.training.previews import denoising_preview
from facegen.training.wired import WiredTask, blank_info, open_dataset, open_latents
from facegen.types import LabelSchema, LatentScaling, SampleSpec


@dataclass(frozen=True)
class _Diffused:
    """What is diffused, and everything a checkpoint has to remember of it."""

    train: Samples
    validation: Samples
    labels: LabelSchema
    sample_shape: tuple[int, ...]
    scaling: LatentScaling
    image_size: int
    autoencoder: dict[str, Any]
    autoencoder_folder: Path | None
    fingerprint: str | None
    texts: TextEmbeddings | None = None
    features: ImageFeatures | None = None


def wire_denoising(recipe: Recipe) -> WiredTask:
    """The task of a denoiser on latents, or straight on images where the recipe names an `autoencoder`.

    Raises:
        UsageError: no data named, flips that were not encoded, an augmentation of latents, sizes that do
            not fit.
        DataError: the data are not there or lack a split.
        StorageError: the data are damaged.
    """
    diffused = _latents(recipe) if recipe.autoencoder is None else _pixels(recipe)
    sample = SampleSpec(diffused.sample_shape)
    conditioner = _build_conditioner(recipe, diffused, sample)
    denoiser, augmentation = recipe.section("denoiser"), recipe.data.augmentation
    task = load_kind("tasks", "denoising").build(
        recipe.section("task"),
        train=diffused.train,
        validation=diffused.validation,
        limit=recipe.data.limit,
        process=Process(**recipe.diffusion.values()),
        conditioner=conditioner,
        build_denoiser=lambda: load_kind("denoisers", denoiser.kind).build(
            denoiser, sample, conditioner.spec
        ),
        num_told=NUM_PARAMETERS if augmentation is not None and augmentation.tell_model else 0,
    )
    info = blank_info(
        recipe,
        labels=diffused.labels,
        sample_shape=diffused.sample_shape,
        scaling=diffused.scaling,
        image_size=diffused.image_size,
        autoencoder=diffused.autoencoder,
        data_fingerprint=diffused.fingerprint,
    )
    return WiredTask(
        task,
        ModelCard(info, diffused.autoencoder_folder),
        lambda run, device: denoising_preview(
            _generator_of(recipe, diffused, device), _preview_inputs(recipe, diffused, conditioner), run
        ),
    )


def _latents(recipe: Recipe) -> _Diffused:
    latents, data = open_latents(recipe), recipe.data
    if data.augmentation is not None:
        raise UsageError(
            "data.augmentation: latents cannot be augmented after encoding.",
            hint="Use their mirror images: facegen encode DATASET --autoencoder NAME_OR_PATH --out LATENTS "
            "--flips, then --set data.augmentation=null --set data.flip=true;\n"
            "or train on pixels: --set autoencoder.kind=identity with --data DATASET",
        )
    index = latents.index
    return _Diffused(
        train=latent_samples(latents, data.train_split, flip=data.flip),
        validation=latent_samples(latents, data.validation_split),
        labels=index.labels,
        sample_shape=index.sample_shape,
        scaling=index.scaling,
        image_size=index.image_size,
        autoencoder=index.autoencoder,
        autoencoder_folder=latents.autoencoder_folder,
        fingerprint=index.fingerprint,
        texts=latents.text_embeddings,
        features=latents.image_features,
    )


def _pixels(recipe: Recipe) -> _Diffused:
    section, data = recipe.section("autoencoder"), recipe.data
    if data.flip:
        raise UsageError(
            "data.flip chooses encoded mirror images of latents; pixels are mirrored by their augmentation.",
            hint="--set data.flip=false --set data.augmentation.flip=true",
        )
    dataset = open_dataset(recipe)
    manifest = dataset.manifest
    if section.kind != "identity":
        raise UsageError(
            f"A denoiser takes latents, or pixels with autoencoder 'identity', not '{section.kind}'.",
            hint=f"facegen encode {data.path} --autoencoder NAME_OR_PATH --out LATENTS; then --data LATENTS.",
        )
    loaded = load_autoencoder("identity-grey" if section.grey else "identity")
    shape = loaded.module.latent_shape(manifest.image_size)
    augmentation = None if data.augmentation is None else Augmentation(**data.augmentation.values())
    return _Diffused(
        train=PixelSamples(dataset.split(data.train_split), loaded.module, augmentation=augmentation),
        validation=PixelSamples(dataset.split(data.validation_split), loaded.module),
        labels=manifest.labels,
        sample_shape=shape,
        scaling=LatentScaling((0.0,) * shape[0], (1.0,) * shape[0]),
        image_size=manifest.image_size,
        autoencoder=loaded.reference(),
        autoencoder_folder=None,
        fingerprint=manifest.fingerprint,
    )


def _build_conditioner(recipe: Recipe, diffused: _Diffused, sample: SampleSpec) -> Any:
    """The conditioner, with weights from the run's seed, with cached text embeddings if it can use them."""
    config = recipe.section("conditioner")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for("conditioner", recipe.training.seed))
        conditioner = load_kind("conditioners", config.kind).build(config, diffused.labels, sample)
    table = diffused.texts
    if table is not None and table.encoder == getattr(conditioner, "encoder_name", None):
        conditioner.attach_table(table.captions, table.tokens, table.mask)
    if hasattr(conditioner, "attach_features"):
        conditioner.attach_features(diffused.features)
    return conditioner


def _preview_inputs(recipe: Recipe, diffused: _Diffused, conditioner: Any) -> torch.Tensor:
    """What previews ask for: the conditions of the first held-out examples."""
    count = min(recipe.training.preview_images, len(diffused.validation))
    if isinstance(conditioner, SampleConditioner):
        return conditioner.inputs_of(diffused.validation.means(torch.arange(count)))
    return conditioner.inputs(diffused.validation.frame.head(count))


def _generator_of(recipe: Recipe, diffused: _Diffused, device: torch.device) -> Any:
    """Makes a generator of a module in training.

    Raises:
        MissingModelError: the autoencoder is not to be had.
    """
    source = diffused.autoencoder_folder or diffused.autoencoder["source"]
    autoencoder = load_autoencoder(source, device).module

    def generator(module: nn.Module) -> FaceGenerator:
        return FaceGenerator(
            module=module,
            process=Process(**recipe.diffusion.values()),
            autoencoder=autoencoder,
            scaling=diffused.scaling,
            sample_spec=SampleSpec(diffused.sample_shape),
            image_size=diffused.image_size,
            recipe=recipe,
            labels=diffused.labels,
            device=device,
        )

    return generator
