"""`facegen reproduce`: make an image again from the settings it carries, and say how close it came."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import facegen
from facegen.errors import DataError, MissingModelError, UsageError
from facegen.formats.files import atomic_write, sha256_of
from facegen.formats.images import pil_to_png, to_pil
from facegen.formats.plain import plain
from facegen.models.devices import resolve_device
from facegen.models.generator import FaceGenerator
from facegen.models.loading import load
from facegen.protocols import Progress
from facegen.sampling.drawing import grid_picture, shown_images, strip_picture
from facegen.sampling.edit import edited_again
from facegen.sampling.options import ReproduceOptions, SampleOptions
from facegen.sampling.plan import plan_of, plan_of_blend, plan_of_reading
from facegen.sampling.png_settings import (
    ImageSettings,
    PhotoReference,
    read_image_settings,
    text_entry,
)
from facegen.sampling.sample import ask
from facegen.sampling.weights_search import find_checkpoint
from facegen.types import PromptReading


@dataclass(frozen=True)
class Closeness:
    """How two pictures differ, in grey levels of 0 to 255 over all pixels and channels; PSNR in dB."""

    max_difference: int
    mean_difference: float
    psnr: float | None  # None: no difference

    @property
    def identical(self) -> bool:
        return self.max_difference == 0


@dataclass(frozen=True)
class ReproduceSummary:
    """How close it came, with which weights, and what may be why where it is not the same."""

    image: Path
    shows: str  # "image", "grid" or "strip"
    checkpoint: Path
    model_sha256: str
    same_weights: bool
    closeness: Closeness
    reasons: tuple[str, ...]
    out: Path | None

    def to_json(self) -> dict[str, Any]:
        data = plain(self)
        return {**data, "identical": self.closeness.identical, **data.pop("closeness")}


def reproduce(image: Path, options: ReproduceOptions, progress: Progress) -> ReproduceSummary:
    """Draw again what the PNG `image` says it is: an image, a grid, a strip, or an edited photo.

    Raises:
        DataError: not a PNG, no settings in it, damaged or newer ones, a photo that was changed, or a picture
            of another size than its settings make.
        MissingModelError: the weights or a photo are not to be found.
        UsageError: an option out of range, or a model of another kind.
        StorageError: the weights are not what their checkpoint says.
    """
    settings = read_image_settings(image)
    _check_out(image, options.out)
    with Image.open(image, formats=("PNG",)) as picture:
        original = np.asarray(picture.convert("RGB"))
    checkpoint = find_checkpoint(settings, image, options.run)
    device = options.device or _device_like(settings.device)
    generator = load(checkpoint, device, settings.weights)
    same_weights = generator.weights_sha256 == settings.model_sha256
    if same_weights and settings.run is not None:
        generator.source = settings.run  # told on as it was
    if not same_weights:
        progress.warn(f"'{checkpoint}' has {_other_weights(generator, settings)}.")
    _check_sampler(settings, generator, image)
    _check_size(original, settings, generator, image)
    photos = [_photo_path(image, reference, options.photos) for reference in settings.photos]
    for path in options.photos:
        if path not in photos:
            progress.warn(f"--photo '{path}' is not used: '{image}' was not made from it.")
    picture, entry = _draw(generator, settings, photos, progress)
    closeness = compare_pixels(original, np.asarray(picture), image)
    if options.out is not None:
        atomic_write(options.out, pil_to_png(picture, entry))
    return ReproduceSummary(
        image,
        settings.shows or "image",
        checkpoint,
        str(generator.weights_sha256),
        same_weights,
        closeness,
        () if closeness.identical else tuple(_reasons(settings, generator)),
        options.out,
    )


def compare_pixels(a: np.ndarray, b: np.ndarray, image: Path) -> Closeness:
    """How uint8 pictures (H, W, 3) of one size differ.

    Raises:
        DataError: they are not of one size; `image` is the first.
    """
    if a.shape != b.shape:
        raise DataError(
            f"'{image}' has {a.shape[1]} x {a.shape[0]} pixels, but its settings make {b.shape[1]} x "
            f"{b.shape[0]}: it was resized or cut after it was made."
        )
    difference = np.abs(a.astype(np.int16) - b.astype(np.int16))
    squared = float((difference.astype(np.float64) ** 2).mean())
    psnr = None if squared == 0 else 10 * math.log10(255**2 / squared)
    return Closeness(int(difference.max()), float(difference.mean()), psnr)


def _draw(
    generator: FaceGenerator, settings: ImageSettings, photos: Sequence[Path], progress: Progress
) -> tuple[Image.Image, dict[str, str]]:
    """The picture, and the text entry it carries.

    Labels are taken as they were understood then, whatever their words mean today.
    """
    if settings.edit is not None:
        return edited_again(generator, settings, settings.edit, photos, progress)
    options = _options(settings, photos)
    if settings.blend is not None:
        plan = plan_of_blend(generator, settings.blend, options, progress)
    elif photos:
        plan = plan_of(generator, options, progress)
    else:
        plan = plan_of_reading(generator, PromptReading(settings.labels), options)
    asked = ask(generator, options, progress, settings.sampling, plan)
    if settings.shows == "strip" and plan.strip is not None:
        return strip_picture(asked.artist, plan.strip, progress), text_entry(asked.described, "strip")
    numbers = [round((settings.position or 0) * (len(plan.faces) - 1))]  # of a plan of one image or one walk
    if settings.shows == "grid":
        numbers = sorted(shown_images(plan))
    rows, seeds = plan.inputs[torch.tensor(numbers)], [plan.faces[number].seed for number in numbers]
    images = dict(zip(numbers, asked.artist.draw_all(rows, seeds, "Sampling", progress), strict=True))
    if settings.shows == "grid":
        return grid_picture(plan, images), text_entry(asked.described, "grid")
    return to_pil(images[numbers[0]]), asked.picture_text(plan.faces[numbers[0]])


def _options(settings: ImageSettings, photos: Sequence[Path]) -> SampleOptions:
    """What asks for a whole grid, or for the image and as little else as possible."""
    count, frames = 1, _frames(settings)
    if settings.shows in ("grid", "strip"):
        count = settings.count // (len(settings.like) or frames or 1)
    return SampleOptions(
        prompt=settings.prompt,
        attributes=settings.attributes,
        class_name=settings.class_name,
        like=tuple(photos) if settings.like else (),
        between=None if settings.between is None else (photos[-2], photos[-1]),
        frames=frames,
        crop=settings.crop,
        seed=settings.seed,
        count=count,
        negative=settings.negative,
        weights=settings.weights,
    )


def _frames(settings: ImageSettings) -> int | None:
    """Frames of a walk: as told, or of format version 1 the fewest that its position and count allow."""
    if settings.between is None or settings.frames is not None or settings.position is None:
        return settings.frames
    for frames in range(2, settings.count + 1):
        place = round(settings.position * (frames - 1))
        if settings.count % frames == 0 and round(place / (frames - 1), 6) == settings.position:
            return frames
    raise DataError(f"The settings are damaged: no frame of a walk is at {settings.position}.")


def _photo_path(image: Path, reference: PhotoReference, given: Sequence[Path]) -> Path:
    """Where a photo is: among those given, or as it was typed from here or from a folder above the image.

    Raises:
        DataError: it is there and was changed.
        MissingModelError: it is not there.
    """
    typed = Path(reference.path or reference.file)
    above = [base / typed for base in (*image.resolve().parents,)]
    places = [*given, typed, *above, image.parent / reference.file]
    there = [path for path in dict.fromkeys(places) if path.is_file()]
    for path in there:
        if sha256_of(path) == reference.sha256:
            return path
    changed = [path for path in there if path not in given]
    if changed:
        raise DataError(
            f"The photo '{changed[0]}' is not the one that '{image}' was made from: its content has changed.",
            hint=f"Give the one with sha256 {reference.sha256[:12]}...: --photo PHOTO",
        )
    raise MissingModelError(
        f"The photo '{typed}' that '{image}' was made from is not there"
        + (", and no --photo is it." if given else "."),
        hint=f"Say where it is: --photo PHOTO (its sha256 begins with {reference.sha256[:12]})",
    )


def _check_out(image: Path, out: Path | None) -> None:
    if out is None:
        return
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out '{out}' must end in .png: only a PNG carries settings.")
    if out.is_dir() or (out.exists() and out.samefile(image)):
        raise UsageError(f"--out '{out}' is in the way.", hint="Name another file.")


def _check_sampler(settings: ImageSettings, generator: FaceGenerator, image: Path) -> None:
    """Refuse a sampler from outside facegen that the run does not name: an image must not import code."""
    kind = str(settings.sampler.get("kind"))
    if ":" in kind and kind != generator.sampling.sampler.get("kind"):
        raise DataError(
            f"'{image}' asks for the sampler '{kind}', which is neither of facegen nor the run's own."
        )


def _check_size(original: np.ndarray, settings: ImageSettings, generator: FaceGenerator, image: Path) -> None:
    """Refuse before drawing what cannot be compared after it."""
    height, width = original.shape[:2]
    size = generator.image_size
    if settings.shows in ("grid", "strip") or (height, width) == (size, size):
        return
    what = "it was resized or cut after it was made"
    if settings.shows is None:
        what = "it may be a grid, which facegen did not tell apart then; give one of its images"
    raise DataError(f"'{image}' has {width} x {height} pixels, but its model makes {size} x {size}: {what}.")


def _device_like(device: str) -> str:
    """The device the image was made on, or one of its kind, or the fastest there is."""
    for name in (device, device.partition(":")[0]):
        with suppress(UsageError):
            return str(resolve_device(name))
    return "auto"


def _other_weights(generator: FaceGenerator, settings: ImageSettings) -> str:
    return (
        f"other weights than the image was made with: sha256 {str(generator.weights_sha256)[:12]}..., not "
        f"{settings.model_sha256[:12]}..."
    )


def _reasons(settings: ImageSettings, generator: FaceGenerator) -> Iterator[str]:
    """What is known to be different now."""
    if generator.weights_sha256 != settings.model_sha256:
        yield _other_weights(generator, settings)
        return  # another model makes another picture, whatever else is the same
    then = {"facegen": settings.facegen_version, "torch": settings.torch_version, "device": settings.device}
    now = {"facegen": facegen.__version__, "torch": torch.__version__, "device": str(generator.device)}
    changed = [name for name, before in then.items() if before not in (None, now[name])]
    for name in changed:
        what = "device" if name == "device" else f"version of {name}"
        yield f"another {what}: {then[name]} then, {now[name]} now"
    if not changed:
        yield "weights, versions and device are the same: it was edited, or made on another processor"
