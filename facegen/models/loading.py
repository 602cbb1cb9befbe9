"""Opening a trained generator: a run, a checkpoint, or a published pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from facegen.autoencoders import load_autoencoder
from facegen.config.kinds import load_kind, outside_code_allowed
from facegen.config.recipe import DRAWING_TASKS, FEW_STEP, DataConfig, Recipe, parse_recipe
from facegen.errors import DataError, StorageError, UsageError
from facegen.formats.checkpoint import Checkpoint, CheckpointInfo, Weights, load_checkpoint
from facegen.formats.far import near
from facegen.formats.files import WRONG_CONTENT
from facegen.formats.run import RunDirectory
from facegen.models.devices import resolve_device
from facegen.models.generator import FaceGenerator
from facegen.models.objective import objective_of
from facegen.models.published_pipeline import is_pipeline, open_pipeline
from facegen.nn.strides import STRIDE, Strides
from facegen.protocols import Autoencoder
from facegen.types import SampleSpec


def load(
    path: Path | str,
    device: str | torch.device = "auto",
    weights: Weights = "ema",
    *,
    allow_outside_code: bool = False,
) -> FaceGenerator:
    """Open the best checkpoint of a run, a checkpoint folder, or a pipeline's folder in diffusers' layout.

    Kinds from outside facegen that it names ("module:Name") are code: they are imported with
    `allow_outside_code` alone, for files whose maker is trusted.

    Raises:
        MissingModelError: none of these, or its autoencoder is not to be had.
        UsageError: outside code that is not allowed, the run trained something that is not a denoiser, the
            pipeline is of a kind facegen cannot ask, or there is no such device.
        StorageError: a file is corrupt or does not fit the recipe.
        DataError: the autoencoder found is not the one the latents were made with, or a pipeline's part
            cannot be read.
    """
    if allow_outside_code:
        with outside_code_allowed():
            return load(path, device, weights)
    path, device = near(path), resolve_device(str(device))
    if is_pipeline(path):
        return open_pipeline(path, device)
    checkpoint = load_checkpoint(path)
    info = checkpoint.info
    size = info.image_size
    if info.task not in DRAWING_TASKS or info.sample_shape is None or info.scaling is None or size is None:
        raise UsageError(
            f"'{path}' is a run of task '{info.task}', which does not generate faces.",
            hint="Give a run trained on latents: facegen train --preset NAME --data LATENTS --run RUN",
        )
    recipe = parse_recipe(info.recipe)
    sample_spec = SampleSpec(info.sample_shape)
    module = _module(recipe, info, checkpoint.weights(weights), checkpoint.folder)
    weak = checkpoint.weak_weights()
    if weak is not None:
        weak = _module(recipe, info, weak, checkpoint.folder).to(device).eval()
    which = "ema" if weights == "ema" and checkpoint.has_ema else "model"
    return FaceGenerator(
        module=module.to(device).eval(),
        objective=objective_of(recipe.diffusion),
        autoencoder=_autoencoder_of(checkpoint, device),
        scaling=info.scaling,
        sample_spec=sample_spec,
        image_size=size,
        sampling=recipe.sampling,
        labels=info.labels,
        data=_data_of(recipe, checkpoint),
        described=recipe.model_dump(mode="json"),
        device=device,
        weights_sha256=info.files[f"{which}.safetensors"],
        step=info.step,
        source=path,
        weak=weak,
    )


def _module(recipe: Recipe, info: CheckpointInfo, weights: Mapping[str, Tensor], where: Path) -> nn.Module:
    """The `ModuleDict` that the recipe's task trained, with these weights.

    Raises:
        StorageError: they are not its own; names `where` they were read.
    """
    try:
        module = _built(recipe, info)
    except WRONG_CONTENT as error:  # of numbers that make no network
        raise StorageError(f"What '{where}' says of its network cannot be built: {error}") from error
    # What tells the model of augmentation is for training alone: sampling asks for untouched images.
    try:
        module.load_state_dict(
            {n: value for n, value in weights.items() if not n.startswith("augmentation.")}
        )
    except RuntimeError as error:
        raise StorageError(
            f"The weights in '{where}' do not fit the recipe saved beside them: {error}"
        ) from error
    return module


def _built(recipe: Recipe, info: CheckpointInfo) -> nn.ModuleDict:
    """The network, with any weights."""
    sample_spec = SampleSpec(info.sample_shape or ())
    condition, network = recipe.section("conditioner"), recipe.section("denoiser")
    conditioner = load_kind("conditioners", condition.kind).build(condition, info.labels, sample_spec)
    denoiser = load_kind("denoisers", network.kind).build(network, sample_spec, conditioner.spec)
    module = nn.ModuleDict({"denoiser": denoiser, "conditioner": conditioner})
    if info.task == FEW_STEP:
        module[STRIDE] = Strides(conditioner.spec.vector_dim or 0)
    return module


def _data_of(recipe: Recipe, checkpoint: Checkpoint) -> DataConfig:
    """What it was trained on; where that lies, only the run's own recipe says, and older checkpoints."""
    run = RunDirectory(checkpoint.folder.parent.parent)
    if recipe.data.path is not None or not run.exists:
        return recipe.data
    return recipe.data.model_copy(update={"path": run.recipe().data.path})


def _autoencoder_of(checkpoint: Checkpoint, device: torch.device) -> Autoencoder:
    """The autoencoder the checkpoint carries, or the one it names; the same as at encoding."""
    loaded = load_autoencoder(autoencoder_source(checkpoint), device)
    expected = (checkpoint.info.autoencoder or {}).get("fingerprint", loaded.fingerprint)
    if loaded.fingerprint != expected:
        raise DataError(
            f"Autoencoder '{loaded.source}' is not the one this model was trained with: its fingerprint is "
            f"{loaded.fingerprint[:12]}, expected {str(expected)[:12]}.",
            hint="Restore that autoencoder, or encode again and train on the new latents.",
        )
    return loaded.module


def autoencoder_source(checkpoint: Checkpoint) -> Path | str:
    """Folder or name by which `load_autoencoder` finds what the checkpoint's latents were made with.

    Raises:
        StorageError: the checkpoint does not say.
    """
    source = checkpoint.autoencoder_folder or (checkpoint.info.autoencoder or {}).get("source")
    if source is None:
        raise StorageError(
            f"'{checkpoint.folder}' does not say which autoencoder its latents were made with."
        )
    return source
