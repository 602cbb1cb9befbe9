"""`facegen sample`: ask a trained model for faces, and write them with everything needed to repeat them."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

import facegen
from facegen.config.kinds import explain, kind_config
from facegen.config.recipe import SamplingConfig
from facegen.errors import UsageError
from facegen.formats.checkpoint import Weights
from facegen.formats.files import fsync_folder, storage_errors
from facegen.formats.images import encode_png, image_grid, pil_to_png
from facegen.protocols import Progress
from facegen.types import PromptReading
from facegen.workflows._request import read_negative, read_request, request_text
from facegen.workflows.generator import FaceGenerator

SETTINGS_KEY = "facegen"  # of the PNG's text entry
SETTINGS_FORMAT_VERSION = 1
GRID_NAME = "grid.png"
GRID_IMAGES = 64  # more would not be looked at
GRID_CELL_PIXELS = 128


@dataclass(frozen=True)
class SampleOptions:
    """What to ask for and how; None takes the recipe's own setting.

    `attributes` is a list such as "Smiling=1,Eyeglasses=0". Image i has seed `seed + i`. Without `out`,
    the first free `samples/0001`, `samples/0002`, ... is used.
    """

    prompt: str | None = None
    attributes: str | None = None
    class_name: str | None = None
    negative: str | None = None
    guidance: float | None = None
    sampler: str | None = None
    steps: int | None = None
    seed: int = 0
    count: int = 16
    out: Path | None = None
    batch_size: int | None = None
    device: str = "auto"
    weights: Weights = "ema"


@dataclass(frozen=True)
class SampleSummary:
    """Where the images and their grid are, how the request was read, and the settings they carry."""

    paths: tuple[Path, ...]
    grid: Path
    reading: PromptReading
    settings: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {
            "paths": [str(path) for path in self.paths],
            "grid": str(self.grid),
            "understood": [list(pair) for pair in self.reading.understood],
            "not_understood": list(self.reading.not_understood),
            "settings": self.settings,
        }


def sample(run: Path, options: SampleOptions, progress: Progress) -> SampleSummary:
    """Generate `options.count` faces into a new folder: `seed-00000042.png`, ..., and `grid.png`.

    Every PNG carries its settings as JSON in the text entry "facegen". The folder appears whole or not
    at all.

    Raises:
        UsageError: an option out of range, a request this model cannot be asked, or output in the way.
        MissingModelError, StorageError, DataError: the run cannot be loaded, or the disk is full.
    """
    _check(options)
    out = _free_folder(options.out)
    generator = FaceGenerator.load(run, options.device, options.weights)
    settings = sampling_settings(generator.recipe.sampling, options)
    reading = read_request(
        generator,
        progress,
        prompt=options.prompt,
        attributes=options.attributes,
        class_name=options.class_name,
    )
    inputs, negative = generator.inputs_for(reading, options.count), None
    if options.negative is not None:
        negative = _negative_inputs(generator, settings, options, progress)
    described = _describe(generator, settings, options, reading)
    with _whole_folder(out) as folder:
        names = _write_images(folder, generator, inputs, negative, settings, options, described, progress)
    return SampleSummary(tuple(out / name for name in names), out / GRID_NAME, reading, described)


def sampling_settings(defaults: SamplingConfig, options: SampleOptions) -> SamplingConfig:
    """The recipe's sampling settings with those the options name.

    Raises:
        UsageError: unknown sampler, or a number out of range.
    """
    data = defaults.model_dump()
    if options.sampler is not None and options.sampler != data["sampler"]["kind"]:
        data["sampler"] = kind_config("samplers", {"kind": options.sampler}).model_dump()
    changes = {"steps": options.steps, "guidance_scale": options.guidance}
    data.update({name: value for name, value in changes.items() if value is not None})
    try:
        return SamplingConfig(**data)
    except ValidationError as error:
        raise UsageError(explain(error, SamplingConfig, "sampling")) from error


def _check(options: SampleOptions) -> None:
    if options.count < 1:
        raise UsageError(f"--count must be at least 1, not {options.count}.")
    if options.batch_size is not None and options.batch_size < 1:
        raise UsageError(f"--batch-size must be at least 1, not {options.batch_size}.")
    if not 0 <= options.seed <= 2**63 - options.count:
        raise UsageError(f"--seed must be from 0 to 2^63 - count, not {options.seed}.")


def _negative_inputs(
    generator: FaceGenerator, settings: SamplingConfig, options: SampleOptions, progress: Progress
) -> Tensor:
    reading = read_negative(generator, options.negative or "", progress)
    if settings.guidance_scale == 1:
        raise UsageError(
            "--negative acts through guidance, which is off at scale 1.", hint="Add --guidance 2, say."
        )
    return generator.inputs_for(reading, options.count)


def _describe(
    generator: FaceGenerator, settings: SamplingConfig, options: SampleOptions, reading: PromptReading
) -> dict[str, Any]:
    return {
        "format_version": SETTINGS_FORMAT_VERSION,
        "facegen_version": facegen.__version__,
        "model_sha256": generator.weights_sha256,
        "step": generator.step,
        "weights": options.weights,
        "prompt": options.prompt,
        "labels": reading.labels,
        "negative": options.negative,
        **settings.model_dump(mode="json"),
        "seed": options.seed,
        "count": options.count,
        "device": str(generator.device),
    }


def _write_images(
    folder: Path,
    generator: FaceGenerator,
    inputs: Tensor,
    negative: Tensor | None,
    settings: SamplingConfig,
    options: SampleOptions,
    described: dict[str, Any],
    progress: Progress,
) -> list[str]:
    """Write every image as its batch is done, then the grid; returns the images' names."""
    size = options.batch_size or generator.default_batch_size
    seeds = range(options.seed, options.seed + options.count)
    names, shown = [f"seed-{seed:08d}.png" for seed in seeds], []
    num_batches = math.ceil(options.count / size)
    with progress.stage("Sampling", total=num_batches * settings.steps) as bar:
        for start in range(0, options.count, size):
            rows = slice(start, start + size)
            images = generator.generate(
                inputs[rows],
                seeds[rows],
                settings,
                None if negative is None else negative[rows],
                size,
                on_step=lambda step: bar.advance(),
            )
            for name, seed, image in zip(names[rows], seeds[rows], images, strict=True):
                text = json.dumps({**described, "seed": seed}, ensure_ascii=False)
                (folder / name).write_bytes(encode_png(image, {SETTINGS_KEY: text}))
            shown.append(images[: max(0, GRID_IMAGES - start)])
    grid = _grid(torch.cat(shown), options.prompt or request_text(described["labels"]), seeds)
    (folder / GRID_NAME).write_bytes(
        pil_to_png(grid, {SETTINGS_KEY: json.dumps(described, ensure_ascii=False)})
    )
    return names


def _grid(images: Tensor, request: str, seeds: range) -> Any:
    captions = [f"{request}\nseed {seed}".strip() for seed in seeds[: len(images)]]
    columns = min(8, math.ceil(len(images) ** 0.5))
    return image_grid(images, columns, captions, scale=max(1, GRID_CELL_PIXELS // images.shape[-1]))


def _free_folder(out: Path | None) -> Path:
    """`out` if nothing is in the way, or the first free numbered folder under `samples/`."""
    if out is None:
        return next(folder for n in count(1) if not (folder := Path("samples") / f"{n:04d}").exists())
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"'{out}' is in the way: it exists and is not empty.", hint="Choose another --out.")
    return out


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out` that takes its name when the block succeeds, and is removed otherwise."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with storage_errors(out):
            temporary.mkdir(parents=True)
            yield temporary
            if out.exists():
                out.rmdir()  # empty, as checked
            temporary.rename(out)
            fsync_folder(out.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
