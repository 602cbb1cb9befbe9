"""`facegen edit`: draw a photo again with something else asked, and tell what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from facegen.config.recipe import SamplingConfig
from facegen.errors import UsageError
from facegen.formats.files import write_json
from facegen.formats.images import encode_png, pil_to_png, to_pil
from facegen.formats.plain import plain
from facegen.models.editing import EditablePhotos, editable, steps_of
from facegen.models.faces import Faces
from facegen.models.generator import FaceGenerator
from facegen.models.loading import load
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.sampling.edit_changes import Change, Judges, change_of, open_judges
from facegen.sampling.edit_request import (
    EditRequest,
    check_editable,
    check_region,
    edit_request,
    photo_to_edit,
    read_mask,
)
from facegen.sampling.options import EditOptions
from facegen.sampling.photos import Photo, read_photo
from facegen.sampling.png_settings import (
    EditSettings,
    ImageSettings,
    PhotoReference,
    edit_settings,
    text_entry,
)
from facegen.sampling.records import sampling_settings
from facegen.sampling.request import request_text
from facegen.sampling.work import check_out, open_work
from facegen.signals import handled_by, stop_at_once
from facegen.types import PromptReading, SamplerStep

STRIP_NAME = "strip.png"
REGION_NAME = "region.png"  # a mask for --mask, found by --region
CHANGES_NAME = "changes.json"


@dataclass(frozen=True)
class Edited:
    """One picture: how far into noise it went, where it is, and what became of the photo."""

    strength: float
    path: Path
    change: Change


@dataclass(frozen=True)
class EditSummary:
    """The pictures with what became of the photo, the strip of all, and how it was asked.

    `told` is what the photo was taken to show and `asked` what it was drawn for. `reconstructed` is how
    it differs after the autoencoder alone, `distance_name` and `features_name` are the judges'.
    """

    pictures: tuple[Edited, ...]
    strip: Path
    reading: PromptReading
    told: dict[str, float]
    asked: dict[str, float]
    reconstructed: Change
    distance_name: str | None
    features_name: str | None
    settings: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        data = plain(self)
        reading = data.pop("reading")
        return data | {name: reading[name] for name in ("understood", "not_understood")}


@dataclass(frozen=True)
class EditTask:
    """A photo, where it may change, and what it is told to show and asked for."""

    generator: FaceGenerator
    settings: SamplingConfig
    options: EditOptions
    photo: Photo
    mask: tuple[Photo, Tensor] | None
    told: Mapping[str, float]
    asked: Mapping[str, float]
    wanted: Mapping[str, float]

    def described(self, strengths: Sequence[float]) -> dict[str, Any]:
        """The settings that a picture of these strengths carries."""
        return edit_settings(
            self.generator,
            self.settings,
            self.options,
            EditSettings(
                photo=PhotoReference(**self.photo.told),
                mask=None if self.mask is None else PhotoReference(**self.mask[0].told),
                region=self.options.region,
                told=dict(self.told),
                asked=dict(self.asked),
                wanted=dict(self.wanted),
                strengths=tuple(strengths),
            ),
        )

    @property
    def num_steps(self) -> int:
        """Steps of all walks down."""
        return sum(steps_of(strength, self.settings.steps) for strength in self.options.strength)

    def walks(self) -> Iterator[tuple[EditablePhotos, SamplerStep]]:
        """Every step down, strength by strength; `finished` makes the picture of its x0."""
        told, asked = (_inputs(self.generator, labels) for labels in (self.told, self.asked))
        deepest, share = max(self.options.strength), self.options.region
        photo = editable(self.generator, self.photo.image[None], told, self.settings, deepest)
        where = None if self.mask is None else self.mask[1]
        photo = replace(photo, where=where if share is None else photo.region(asked, share))
        for strength in self.options.strength:
            for step in photo.redrawn(asked, strength):
                yield photo, step

    def drawn(self, progress: Progress) -> tuple[EditablePhotos, list[Tensor]]:
        """The photo as it was edited, and a picture a strength, uint8 (3, H, W)."""
        photos, pictures = list[EditablePhotos](), list[Tensor]()
        with progress.stage("Editing", total=self.num_steps) as bar:
            for photo, step in self.walks():
                bar.advance()
                if step.is_last:
                    photos.append(photo)
                    pictures.append(photo.finished(step.x0)[0])
        return photos[-1], pictures

    def strip(self, reconstructed: Tensor, pictures: Sequence[Tensor]) -> Image.Image:
        """The photo, it after the autoencoder, and the pictures from weak to strong."""
        words = self.options.prompt or request_text(self.wanted) or "nothing asked"
        captions = [f"{words}\nstrength {strength:g}" for strength in self.options.strength]
        tiles = torch.stack([self.photo.image, reconstructed, *pictures])
        return Faces(tiles, (f"photo\n{self.photo.name}", "autoencoder alone", *captions)).grid(len(tiles))


def edit(
    photo: Path, run: Path | str, options: EditOptions | None = None, progress: Progress | None = None
) -> EditSummary:
    """Edit a photo into a new folder: `strength-0.6.png`, ..., `strip.png`, and `changes.json` about them;
    with `options.region` also `region.png`, where there was change.

    The photo is walked into noise with what it shows and drawn again with what is asked; what is asked as it
    is shown comes back as it was. Every PNG carries its settings. The folder appears whole or not at all.

    Raises:
        UsageError: a request this model cannot be asked, an option out of range, or output in the way.
        DataError: a photo or mask that cannot be read, or a photo in which no face is found.
        MissingModelError, StorageError: the run or a judge cannot be loaded, or the disk is full.
        Terminated: a signal asked to stop.
    """
    options, progress = options or EditOptions(), progress or SilentProgress()
    if options.out is not None:
        check_out(options.out)
    with handled_by(stop_at_once):
        generator = load(run, options.device, options.weights)
        judges = open_judges(generator, options.classifier, options.distance, options.features, progress)
        task, request = edit_task(generator, Path(photo), options, judges, progress)
        described = task.described(options.strength)
        with open_work(options.out, described, progress) as work:
            edited, pictures = task.drawn(progress)
            reconstructed = edited.plain[0]
            changes = [
                change_of(task.photo.image, reconstructed, each, request.wanted, judges)
                for each in (reconstructed, *pictures)
            ]
            names = _write(work.pictures, task, reconstructed, pictures)
            if options.region is not None and edited.where is not None:
                (work.pictures / REGION_NAME).write_bytes(encode_png(mask_picture(edited.where)))
            summary = EditSummary(
                tuple(
                    Edited(strength, work.out / name, change)
                    for strength, name, change in zip(options.strength, names, changes[1:], strict=True)
                ),
                work.out / STRIP_NAME,
                request.reading,
                request.told,
                request.asked,
                replace(changes[0], came_true=None, changed=None),
                judges.distance.name if judges.distance else None,
                judges.features.name if judges.features else None,
                described,
            )
            write_json(work.pictures / CHANGES_NAME, summary.to_json())
    return summary


def _write(folder: Path, task: EditTask, reconstructed: Tensor, pictures: Sequence[Tensor]) -> list[str]:
    """Write the pictures and their strip; the names of the pictures."""
    strengths = task.options.strength
    names = [f"strength-{strength:g}.png" for strength in strengths]
    for name, strength, picture in zip(names, strengths, pictures, strict=True):
        entry = text_entry(task.described((strength,)), "image")
        (folder / name).write_bytes(pil_to_png(to_pil(picture), entry))
    entry = text_entry(task.described(strengths), "strip")
    (folder / STRIP_NAME).write_bytes(pil_to_png(task.strip(reconstructed, pictures), entry))
    return names


def mask_picture(where: Tensor) -> Tensor:
    """A mask (H, W) in [0, 1] as a picture, uint8 (3, H, W)."""
    return (255 * where).round().byte().expand(3, -1, -1)


def edited_again(
    generator: FaceGenerator,
    settings: ImageSettings,
    edited: EditSettings,
    photos: Sequence[Path],
    progress: Progress,
) -> tuple[Image.Image, dict[str, str]]:
    """What an edit's PNG shows, from its settings and its photo and mask, with the text entry it carries."""
    check_editable(generator)
    options = EditOptions(
        prompt=settings.prompt,
        attributes=settings.attributes,
        class_name=settings.class_name,
        strength=edited.strengths,
        region=edited.region,
        crop=settings.crop,
        weights=settings.weights,
    )
    photo = read_photo(photos[0], settings.crop, generator.image_size)
    mask = None if edited.mask is None else read_mask(photos[1], generator, options)
    task = EditTask(
        generator, settings.sampling, options, photo, mask, edited.told, edited.asked, edited.wanted
    )
    photo_edited, pictures = task.drawn(progress)
    if settings.shows == "strip":
        strip = task.strip(photo_edited.plain[0], pictures)
        return strip, text_entry(task.described(edited.strengths), "strip")
    return to_pil(pictures[0]), text_entry(task.described(edited.strengths), "image")


def edit_task(
    generator: FaceGenerator, path: Path, options: EditOptions, judges: Judges, progress: Progress
) -> tuple[EditTask, EditRequest]:
    """What to draw for `options`, and how they were read.

    Raises:
        UsageError: a request this model cannot be asked, or an option out of range.
        DataError: a photo or mask that cannot be read, or a photo in which no face is found.
    """
    check_editable(generator)
    settings = sampling_settings(generator, guidance=options.guidance, steps=options.steps)
    photo = photo_to_edit(path, generator, options)
    check_region(generator, options)
    mask = None if options.mask is None else read_mask(options.mask, generator, options)
    request = edit_request(generator, options, photo, judges.classifier, progress)
    _tell(request, progress)
    if len({steps_of(strength, settings.steps) for strength in options.strength}) < len(options.strength):
        raise UsageError(
            f"In {settings.steps} steps two of the strengths {', '.join(map(str, options.strength))} are the "
            "same.",
            hint="Take more --steps, or strengths that are further apart.",
        )
    return EditTask(
        generator, settings, options, photo, mask, request.told, request.asked, request.wanted
    ), request


def _tell(request: EditRequest, progress: Progress) -> None:
    """Say what the photo is taken to show of what is asked, and what gives way to it."""
    if not request.wanted:
        progress.warn("Nothing is asked for, so the photo comes back as it is.")
        return
    same = [name for name, value in request.wanted.items() if request.told.get(name) == value]
    if same:
        progress.say(f"The photo shows already: {request_text({n: request.wanted[n] for n in same})}.")
    gave_way = {
        name: value
        for name, value in request.asked.items()
        if name not in request.wanted and request.told.get(name, value) != value
    }
    if gave_way:
        progress.say(f"What is asked rules in or out: {request_text(gave_way)}.")


def _inputs(generator: FaceGenerator, labels: Mapping[str, float]) -> Tensor:
    """Condition inputs (1, ...) for labels; of none, for an open request."""
    if not labels:
        return generator.conditioner.null_inputs(1)
    return generator.inputs_for(PromptReading(dict(labels)))
