"""`facegen sample`: ask a trained model for faces, and write them with everything needed to repeat them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from facegen.config.recipe import SamplingConfig
from facegen.errors import DataError, UsageError
from facegen.formats.images import decode_image, encode_png, pil_to_png
from facegen.formats.plain import plain
from facegen.models.generator import FaceGenerator
from facegen.models.loading import load
from facegen.processes import world
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.sampling.drawing import Artist, grid_picture, shown_images, strip_picture
from facegen.sampling.options import SampleOptions
from facegen.sampling.plan import IMAGES, Face, Plan, plan_of
from facegen.sampling.png_settings import image_settings, text_entry
from facegen.sampling.records import drawing_settings
from facegen.sampling.request import read_negative
from facegen.sampling.word_effects import WordEffects, word_effects
from facegen.sampling.work import check_out, shared_work
from facegen.signals import handled_by, stop_at_once
from facegen.types import PromptReading

GRID_NAME = "grid.png"
STRIP_NAME = "blend.png"

T = TypeVar("T")


@dataclass(frozen=True)
class SampleSummary:
    """Where the images, their grid and a blend's strip are, how the request was read, and the settings.

    `effects` are of the words of a prompt in free text.
    """

    paths: tuple[Path, ...]
    grid: Path
    reading: PromptReading
    settings: dict[str, Any]
    strip: Path | None = None
    effects: WordEffects = field(default_factory=WordEffects)

    def to_json(self) -> dict[str, Any]:
        data = plain(self)
        reading = data.pop("reading")
        data["effects"] = dict(self.effects.shares)
        return data | {name: reading[name] for name in ("understood", "not_understood")}


@dataclass(frozen=True)
class AskedSample:
    """Options as a generator understands them: what to draw, how, and what the pictures tell of it.

    `described` are the settings that all pictures share.
    """

    artist: Artist
    plan: Plan
    described: dict[str, Any]

    def picture_text(self, face: Face) -> dict[str, str]:
        """The text entries of that picture's PNG: with the model they are enough to draw it again."""
        return text_entry(self.described, "image", face)


def sample(
    run: Path | str, options: SampleOptions | None = None, progress: Progress | None = None
) -> SampleSummary:
    """Generate faces into a new folder: `seed-00000042.png`, ..., and `grid.png`.

    A blend also gets `blend.png`: a row a seed, from each part alone to the mix, one noise along a row. Walks
    between photos are `seed-00000042-frame-000.png`, .... Every PNG carries its settings as JSON in the text
    entry "facegen". The folder appears whole or not at all; stopped, the same call goes on where it stood.
    Several processes divide the faces, and the bytes are the same for any number of them.

    Raises:
        UsageError: an option out of range, a request this model cannot be asked, or output in the way.
        DataError: a photo that cannot be read.
        MissingModelError, StorageError, DataError: the run cannot be loaded, or the disk is full.
        Terminated: a signal asked to stop.
    """
    options, progress = options or SampleOptions(), progress or SilentProgress()
    check_sampling(options)
    if options.out is not None:
        check_out(options.out)
    with handled_by(stop_at_once):
        generator = load(run, options.device, options.weights)
        asked = ask(generator, options, progress)
        plan, described = asked.plan, asked.described
        with shared_work(options.out, described, progress) as work:
            shown = _write_images(work.pictures, asked, progress)
            world().first(lambda: _write_overviews(work.pictures, asked, shown, progress))
        effects = WordEffects() if options.prompt is None else word_effects(generator, options.prompt)
    for note in effects.notes:
        progress.warn(note)
    out = work.out
    return SampleSummary(
        tuple(out / face.name for face in plan.faces),
        out / GRID_NAME,
        plan.reading,
        described,
        None if plan.strip is None else out / STRIP_NAME,
        effects,
    )


def check_sampling(options: SampleOptions) -> None:
    """Refuse options that contradict each other or are out of range, before any model is loaded.

    Raises:
        UsageError: says which.
    """
    if options.count is not None and options.count < 1:
        raise UsageError(f"--count must be at least 1, not {options.count}.")
    if options.batch_size is not None and options.batch_size < 1:
        raise UsageError(f"--batch-size must be at least 1, not {options.batch_size}.")
    if not 0 <= options.seed <= 2**63 - (options.count or IMAGES):
        raise UsageError(f"--seed must be from 0 to 2^63 - count, not {options.seed}.")
    options.check()


def ask(
    generator: FaceGenerator,
    options: SampleOptions,
    progress: Progress,
    settings: SamplingConfig | None = None,
    plan: Plan | None = None,
) -> AskedSample:
    """What `options` ask of `generator`; `settings` and `plan` are those of the options where none are given.

    Raises:
        UsageError: an option out of range, or a request this model cannot be asked.
        DataError: a photo that cannot be read.
    """
    settings = settings or drawing_settings(generator, options)
    plan = plan or plan_of(generator, options, progress)
    negative = None
    if options.negative is not None:
        reading = read_negative(generator, options.negative, progress)
        if settings.guidance_scale == 1 and not generator.few_steps:
            raise UsageError(
                "--negative acts through guidance, which is off at scale 1.", hint="Add --guidance 2, say."
            )
        negative = generator.inputs_for(reading)
    described = image_settings(
        generator, settings, options, plan, negative=options.negative, weights=options.weights
    )
    return AskedSample(Artist(generator, settings, negative, options.batch_size), plan, described)


def _write_images(folder: Path, asked: AskedSample, progress: Progress) -> dict[int, Tensor]:
    """Write every image that is not there yet as its batch is done; those of the grid, by number.

    Of several processes each looks for its part of the images, and draws its part of those missing.
    """
    here, numbers = world(), range(len(asked.plan.faces))
    kept = _merged(here.gather(here.together(lambda: _kept_images(folder, asked, here.part(numbers)))))
    missing = [number for number in numbers if number not in kept]
    if kept:
        progress.say(f"Going on: {len(kept):,} of {len(numbers):,} pictures are there already.")
    drawn = here.together(lambda: _draw_images(folder, asked, here.part(missing), progress))
    shown = {number: image for number, image in kept.items() if image is not None}
    return shown | _merged(here.gather(drawn))


def _kept_images(folder: Path, asked: AskedSample, numbers: Sequence[int]) -> dict[int, Tensor | None]:
    """Which of the images were written whole; None for those that the grid does not show."""
    wanted, found = shown_images(asked.plan), dict[int, Tensor | None]()
    for number in numbers:
        face = asked.plan.faces[number]
        image = _kept(folder / face.name, asked.picture_text(face))
        if image is not None:
            found[number] = image if number in wanted else None
    return found


def _draw_images(
    folder: Path, asked: AskedSample, numbers: Sequence[int], progress: Progress
) -> dict[int, Tensor]:
    """Draw and write the images of these numbers; those that the grid shows."""
    plan, wanted = asked.plan, shown_images(asked.plan)
    shown = dict[int, Tensor]()
    rows = torch.tensor(numbers, dtype=torch.int64)
    seeds = [plan.faces[number].seed for number in numbers]
    for start, images in asked.artist.draw(plan.inputs[rows], seeds, "Sampling", progress):
        for number, image in zip(numbers[start:], images, strict=False):
            face = plan.faces[number]
            (folder / face.name).write_bytes(encode_png(image, asked.picture_text(face)))
            if number in wanted:
                shown[number] = image
    return shown


def _write_overviews(
    folder: Path, asked: AskedSample, shown: Mapping[int, Tensor], progress: Progress
) -> None:
    """Write the grid, and a blend's strip."""
    grid = grid_picture(asked.plan, shown)
    (folder / GRID_NAME).write_bytes(pil_to_png(grid, text_entry(asked.described, "grid")))
    if asked.plan.strip is not None:
        strip = strip_picture(asked.artist, asked.plan.strip, progress)
        (folder / STRIP_NAME).write_bytes(pil_to_png(strip, text_entry(asked.described, "strip")))


def _merged(parts: Iterable[Mapping[int, T]]) -> dict[int, T]:
    return {number: image for part in parts for number, image in part.items()}


def _kept(path: Path, text: dict[str, str]) -> Tensor | None:
    """The image (3, H, W) of a picture that was written whole with that text; None if it was not."""
    with suppress(OSError, DataError):
        data = path.read_bytes()
        image = torch.from_numpy(np.array(decode_image(data))).permute(2, 0, 1)
        return image if encode_png(image, text) == data else None
    return None
