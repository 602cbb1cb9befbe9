"""Drawing a wish, step by step: previews on the way, finished PNGs that carry their settings at the end."""

from __future__ import annotations

import io
import json
import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from facegen.errors import DataError
from facegen.formats.checkpoint import Weights
from facegen.formats.images import encode_png
from facegen.models.generator import FaceGenerator
from facegen.progress import SilentProgress
from facegen.sampling.edit import REGION_NAME, edit_task, mask_picture
from facegen.sampling.edit_changes import Judges
from facegen.sampling.plan import Face
from facegen.sampling.png_settings import SETTINGS_KEY, text_entry
from facegen.sampling.sample import AskedSample, ask
from facegen.studio.state import Asked, Controls, Wish, asked_by, edit_by
from facegen.types import Blend, PromptReading

PREVIEW_SHARE = 0.25  # of the time may go into decoding previews
PREVIEW_SECONDS = (
    0.5  # between previews at least: a browser on a busy core shows no more, and would fall behind
)


@dataclass(frozen=True)
class Preview:
    """Where sampling is: the estimates of x0 as images uint8 (N, 3, H, W), None of pictures not begun."""

    step: int
    num_steps: int
    images: tuple[Tensor | None, ...]
    captions: tuple[str, ...]
    columns: int  # 2 where pairs are compared, otherwise 0: as many as fit


@dataclass(frozen=True)
class Picture:
    """A finished picture: PNG bytes as the commands write them, and a name for the file."""

    caption: str
    name: str
    png: bytes

    @property
    def settings(self) -> dict[str, Any]:
        """What its text entry says."""
        with Image.open(io.BytesIO(self.png)) as image:
            return json.loads(image.info[SETTINGS_KEY])


@dataclass(frozen=True)
class Drawn:
    """The pictures of a wish, how its prompt was read, and the seconds it took."""

    pictures: tuple[Picture, ...]
    columns: int
    reading: PromptReading
    seconds: float


@dataclass(frozen=True)
class _Row:
    """One picture to draw: which column asks for it, and what tells it apart."""

    asked: AskedSample
    face: Face
    caption: str
    name: str


class Easel:
    """Draws wishes with one generator, one at a time."""

    def __init__(self, generator: FaceGenerator, weights: Weights = "ema") -> None:
        self.generator = generator
        self.weights: Weights = weights
        self.controls = Controls.of(generator)

    def draw(self, wish: Wish, stopped: Callable[[], bool] = lambda: False) -> Iterator[Preview | Drawn]:
        """Yield previews while sampling runs, then `Drawn`. The same wish gives the same PNGs.

        `stopped` is asked after each step; once it says yes, nothing more is yielded.

        Raises:
            UsageError: a wish this model cannot be asked.
            DataError: a photo that cannot be read.
        """
        if wish.way == "photo" and self.controls.edits:
            yield from self._edit(wish, stopped)
            return
        started = time.monotonic()
        columns = asked_by(wish, self.controls, self.weights)
        try:
            samples = [ask(self.generator, each.options, SilentProgress()) for each in columns]
        except DataError as error:
            raise _without_folder(error, wish) from error
        rows = _rows(columns, samples)
        captions = tuple(row.caption for row in rows)
        beside = len(samples) if len(samples) > 1 else 0
        images: list[Tensor | None] = [None] * len(rows)
        for step, num_steps in self._sampled(samples, [row.face.seed for row in rows], images, stopped):
            yield Preview(step, num_steps, tuple(images), captions, beside)
        if stopped():
            return
        pictures = tuple(
            Picture(row.caption, row.name, encode_png(image, _settings(row, wish.photo)))
            for row, image in zip(rows, images, strict=True)
            if image is not None
        )
        yield Drawn(pictures, beside, samples[0].plan.reading, time.monotonic() - started)

    def _edit(self, wish: Wish, stopped: Callable[[], bool]) -> Iterator[Preview | Drawn]:
        """Yield previews of the photo as it is edited, then `Drawn`."""
        started = time.monotonic()
        photo, options = edit_by(wish, self.controls, self.weights)
        try:
            task, request = edit_task(self.generator, photo, options, Judges(), SilentProgress())
        except DataError as error:
            raise _without_folder(error, wish) from error
        caption, image, due = f"{wish.title}, strength {wish.strength:g}", task.photo.image, 0.0
        where: Tensor | None = None
        for done, (edited, step) in enumerate(task.walks(), start=1):
            if stopped():
                return
            if step.is_last or time.monotonic() >= due:
                image = edited.finished(step.x0)[0]
                due = time.monotonic() + PREVIEW_SECONDS
                yield Preview(done, task.num_steps, (image,), (caption,), 0)
            where = edited.where
        text = text_entry(task.described(options.strength), "image")
        text = _without_path(text, "edit", "photo", name=photo.name)
        if wish.mask is not None:
            text = _without_path(text, "edit", "mask", name=wish.mask.name)
        name = f"facegen-{_slug(wish.title)}"
        pictures = [Picture(caption, f"{name}-strength-{wish.strength:g}.png", encode_png(image, text))]
        if options.region is not None and where is not None:
            found = encode_png(mask_picture(where))
            pictures.append(Picture("where it may change", f"{name}-{REGION_NAME}", found))
        yield Drawn(tuple(pictures), 0, request.reading, time.monotonic() - started)

    def _sampled(
        self,
        samples: list[AskedSample],
        seeds: list[int],
        images: list[Tensor | None],
        stopped: Callable[[], bool],
    ) -> Iterator[tuple[int, int]]:
        """Fill `images` batch by batch; yield (steps done, steps in all) whenever they changed."""
        artist = samples[0].artist
        total = artist.settings.steps * math.ceil(len(seeds) / self.generator.default_batch_size)
        due = 0.0
        walks = self.generator.walks(_interleaved(samples), seeds, artist.settings, artist.negative)
        for done, (rows, step) in enumerate(walks, start=1):
            if stopped():
                return
            if step.is_last or time.monotonic() >= due:
                began = time.monotonic()
                images[rows] = list(self.generator.decode(step.x0))
                now = time.monotonic()
                due = now + max(PREVIEW_SECONDS, (now - began) / PREVIEW_SHARE)
                yield done, total


def _settings(row: _Row, photo: Path | None) -> dict[str, str]:
    """The text a PNG carries; of an uploaded photo its name alone, since its folder goes with the studio."""
    text = row.asked.picture_text(row.face)
    return text if photo is None else _without_path(text, "like", name=photo.name)


def _without_path(text: dict[str, str], *keys: str, name: str) -> dict[str, str]:
    """The text with the photo under `keys` of the settings told by its `name` alone."""
    told = json.loads(text[SETTINGS_KEY])
    reduce(getitem, keys, told)["path"] = name
    return {**text, SETTINGS_KEY: json.dumps(told, ensure_ascii=False)}


def _without_folder(error: DataError, wish: Wish) -> DataError:
    """The error with the names of the photo and the mask in place of where they were uploaded to."""
    told = str(error)
    for path in filter(None, (wish.photo, wish.mask)):
        told = told.replace(str(path), path.name)
    return DataError(told)


def _slug(words: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", words).strip("-").lower()[:40]


def _rows(columns: tuple[Asked, ...], samples: list[AskedSample]) -> list[_Row]:
    """Pictures in the order they are shown: seed by seed, the compared beside each other."""
    rows = []
    for faces in zip(*(sample.plan.faces for sample in samples), strict=True):
        for column, sample, face in zip(columns, samples, faces, strict=True):
            slug = _slug(column.caption)
            caption = f"{column.caption}, seed {face.seed}" if column.caption else f"seed {face.seed}"
            name = f"facegen-{slug}-{face.name}" if slug else f"facegen-{face.name}"
            rows.append(_Row(sample, face, caption, name))
    return rows


def _interleaved(samples: list[AskedSample]) -> Tensor | Blend:
    """Condition inputs of all rows in the order of `_rows`."""
    inputs = [sample.plan.inputs for sample in samples]
    if len(inputs) == 1:
        return inputs[0]
    # only words are compared, never blends
    return torch.stack([each for each in inputs if isinstance(each, Tensor)], 1).flatten(0, 1)
