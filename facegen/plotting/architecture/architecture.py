"""`facegen plot architecture`: the network of a run or preset, drawn from the module itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facegen.config.kinds import load_kind
from facegen.config.recipe import DENOISING, DRAWING_TASKS, FEW_STEP, Recipe
from facegen.datasets import avatars, utkface
from facegen.errors import UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.latents import TextEmbeddings
from facegen.models.generator import FaceGenerator
from facegen.models.loading import load
from facegen.models.published_pipeline import is_pipeline
from facegen.nn.augmentation import NUM_PARAMETERS
from facegen.nn.class_head import ClassHead
from facegen.nn.discriminator import Discriminator
from facegen.plotting.architecture.diagram import DEPTHS, Diagram, Run, diagram_of, shape_text
from facegen.plotting.architecture.drawing import architecture_plot
from facegen.plotting.architecture.trace import Trace, count
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.plotting.subjects import Subject, subject_of
from facegen.protocols import SampleConditioner
from facegen.tasks.attribute_classification import build_network, classified_labels
from facegen.types import LabelSchema, SampleSpec
from facegen.vocabulary.classes import classes_of

PRINT_DPI = 600
DEFAULT_DEPTH = 2
IMAGE_SIZE = 64
PHOTOS = LabelSchema(  # CelebA's forty attributes, UTKFace's races, five folders
    attributes=("Smiling", *(f"attribute {number}" for number in range(2, 41))),
    classes={"race": utkface.RACES, "class": tuple(f"class {number}" for number in range(1, 6))},
)
TEXT_WIDTHS = {"openai/clip-vit-base-patch32": 512, "openai/clip-vit-large-patch14": 768}
Built = tuple[nn.Module, Run]


@dataclass(frozen=True)
class Data:
    """What a module depends on beside its recipe; without a `sample_shape`, the usual one for the recipe."""

    labels: LabelSchema
    image_size: int
    sample_shape: tuple[int, ...] | None = None


def plot_architecture(
    subject: str, out: Path | None = None, *, depth: int = DEFAULT_DEPTH, csv: bool = False
) -> PlotSummary:
    """Draw what a run, checkpoint, pipeline or preset trains; every parameter is in exactly one box.

    `depth` 1 shows stages, 2 their blocks, 3 the parts of the blocks. A PNG has 600 dots an inch.

    Raises:
        UsageError: neither a run nor a preset, another depth, or a recipe that does not fit its data.
        MissingModelError, StorageError: the run has no checkpoint, or it cannot be read.
    """
    path = figure_path(out, subject, "architecture")
    if depth not in DEPTHS:
        raise UsageError(f"--depth {depth}: allowed are 1 (stages), 2 (blocks) and 3 (parts of blocks).")
    if is_pipeline(Path(subject)):
        name, (module, run) = Path(subject).resolve().name, _published(generator := load(subject, "cpu"))
        diagram, words = diagram_of(module, run, depth), f"Published, trained on {generator.trained_on}."
    else:
        found = subject_of(subject)
        name, data = found.name, data_of(found)
        diagram, module = diagram_and_module(found.recipe, data, depth)
        words = _subtitle(found, data, diagram)
    total = sum(parameter.numel() for parameter in module.parameters())
    plot = architecture_plot(diagram, f"{name}: {total:,} parameters", words)
    facts = {"parameters": total, "boxes": len(diagram.boxes)}
    return save_plot(plot, path, csv=csv, dpi=PRINT_DPI, facts=facts)


def data_of(subject: Subject) -> Data:
    """What the checkpoint of a run says; of a preset, what the sentence about it says it is meant for.

    Raises:
        MissingModelError, StorageError: the run has no checkpoint, or it cannot be read.
    """
    if subject.folder is not None:
        info = load_checkpoint(subject.folder).info
        return Data(info.labels, info.image_size or IMAGE_SIZE, info.sample_shape)
    about = subject.recipe.about or ""
    size = re.search(r"(\d+)x\1", about)
    drawn = avatars.labels_of("rich" if "rich avatars" in about else "plain")
    labels = drawn if "avatars" in about else PHOTOS
    return Data(labels, IMAGE_SIZE if size is None else int(size[1]))


def diagram_and_module(recipe: Recipe, data: Data, depth: int) -> tuple[Diagram, nn.Module]:
    """The diagram of what the recipe trains, and the module (with random weights) that it was drawn from.

    Raises:
        UsageError: the recipe does not fit the labels or the shape.
        MissingModelError: a text encoder whose width is not known is not to be had.
    """
    builders = {DENOISING: _denoising, FEW_STEP: _denoising, "attribute_classification": _classification}
    module, run = builders.get(recipe.task["kind"], _autoencoding)(recipe, data)
    return diagram_of(module, run, depth), module


def _build(recipe: Recipe, section: str, *args: Any) -> Any:
    config = recipe.section(section)
    return load_kind(f"{section}s", config.kind).build(config, *args)


def _denoising(recipe: Recipe, data: Data) -> Built:
    sample = SampleSpec(data.sample_shape or _usual_shape(recipe, data.image_size))
    conditioner: Any = _build(recipe, "conditioner", data.labels, sample)
    encoder = getattr(conditioner, "encoder_name", "")
    if encoder in TEXT_WIDTHS and hasattr(conditioner, "max_tokens"):  # the encoder itself is not needed
        tokens = torch.zeros(1, conditioner.max_tokens, TEXT_WIDTHS[encoder])
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool)
        conditioner.attach(TextEmbeddings(encoder, [""], tokens, mask), None)
    denoiser = _build(recipe, "denoiser", sample, conditioner.spec)
    module = nn.ModuleDict({"denoiser": denoiser})
    if count(conditioner) > 0:
        module["conditioner"] = conditioner
    augmentation = recipe.data.augmentation
    if augmentation is not None and augmentation.tell_model:
        module["augmentation"] = nn.Linear(NUM_PARAMETERS, conditioner.spec.vector_dim, bias=False)
    takes_samples = isinstance(conditioner, SampleConditioner)
    asked = "clean sample" if takes_samples else recipe.section("conditioner").kind.replace("_", " ")
    return module, _denoising_run(module, conditioner, sample, asked)


def _published(generator: FaceGenerator) -> Built:
    """The network of a published pipeline; what asks it is no part of what was trained."""
    module = nn.ModuleDict({"denoiser": generator.network})  # pyright: ignore[reportArgumentType]
    return module, _denoising_run(module, generator.conditioner, generator.sample_spec, generator.trained_on)


def _denoising_run(module: nn.ModuleDict, conditioner: Any, sample: SampleSpec, asked: str) -> Run:
    learns, denoiser = "conditioner" in module, module["denoiser"]

    def run(trace: Trace) -> tuple[str, str]:
        inputs = conditioner.null_inputs(1)
        condition = conditioner(trace.put(asked, inputs) if learns else inputs)
        for tensor in (condition.tokens, condition.vector):
            if tensor is not None and not learns:  # looked up in what is no part of the module
                trace.put(asked, tensor)
        if "augmentation" in module:
            told = trace.put("augmentation parameters", torch.zeros(1, NUM_PARAMETERS))
            condition = replace(condition, vector=condition.vector + module["augmentation"](told))
        time = trace.put("time step t", torch.zeros(1))
        noisy = trace.put("noisy sample xₜ", torch.zeros(1, *sample.shape))
        trace.put("prediction", denoiser(noisy, time, condition))
        return "noisy sample xₜ", "prediction"

    return run


def _usual_shape(recipe: Recipe, image_size: int) -> tuple[int, ...]:
    """Pixels, else vectors of the preset vae-gan, else maps of Stable Diffusion's autoencoder or our own."""
    if recipe.autoencoder is not None:
        return _build(recipe, "autoencoder").latent_shape(image_size)
    if recipe.section("denoiser").kind == "vector_mlp":
        return (256,)
    side = image_size // (8 if image_size >= 256 else 4)
    return 4, side, side


def _classification(recipe: Recipe, data: Data) -> Built:
    config = recipe.section("task")
    network = build_network(config, len(classified_labels(config, data.labels)), data.image_size)

    def run(trace: Trace) -> tuple[str, str]:
        image = trace.put("image", torch.zeros(1, 3, data.image_size, data.image_size))
        trace.put("logits", network(image))
        return "image", "logits"

    return network, run


def _autoencoding(recipe: Recipe, data: Data) -> Built:
    """The autoencoder alone, or beside what judges its output and its latents."""
    autoencoder, config = _build(recipe, "autoencoder"), recipe.section("task")
    module = nn.ModuleDict({"autoencoder": autoencoder})
    if recipe.task["kind"] == "adversarial_autoencoding":
        module["discriminator"] = Discriminator(config.discriminator_widths)
        if config.class_column is not None:
            classes = classes_of(data.labels, config.class_column, "task.class_column")
            module["class_head"] = ClassHead(len(classes), autoencoder.latent_shape(data.image_size)[0])

    def run(trace: Trace) -> tuple[str, str]:
        image = trace.put("image", torch.zeros(1, 3, data.image_size, data.image_size))
        latent = trace.put("latent z (mean)", autoencoder.encode(image).mean)
        reconstruction = trace.put("reconstruction", autoencoder.decode(latent))
        if "discriminator" in module:
            trace.put("real or fake", module["discriminator"](reconstruction))
        if "class_head" in module:
            trace.put("class logits", module["class_head"](latent))
        return "image", "reconstruction"

    return module, run


def _subtitle(subject: Subject, data: Data, diagram: Diagram) -> str:
    recipe = subject.recipe
    sections = ["denoiser", "conditioner"] if recipe.task["kind"] in DRAWING_TASKS else ["autoencoder"]
    kinds = [f"{name} {getattr(recipe, name)['kind']}" for name in sections if getattr(recipe, name)]
    words = f"{', '.join(kinds) or recipe.task['kind'].replace('_', ' ')}."
    if subject.folder is None:
        shapes = {
            box.name: shape_text(box.shape) for box in diagram.boxes if box.kind == "input" and box.shape
        }
        assumed = [f"{name} ({shape})" for name, shape in shapes.items()]
        column = (recipe.conditioner or {}).get("column") or recipe.task.get("class_column")
        if column is not None:
            assumed.append(f"{len(classes_of(data.labels, column, 'column'))} classes of '{column}'")
        words += f" A preset has no data; this is drawn for {', '.join(assumed)}."
    return words[:1].upper() + words[1:]
