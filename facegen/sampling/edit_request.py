"""What a photo to edit shows and is asked to show, the photo itself, and where it may change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from facegen.config.kinds import kind_config, load_kind, trust
from facegen.errors import DataError, MissingModelError, UsageError
from facegen.formats.images import to_pil
from facegen.models.classifier import FaceClassifier
from facegen.models.generator import FaceGenerator
from facegen.progress import SilentProgress
from facegen.protocols import FaceFinder, Progress
from facegen.sampling.options import EditOptions
from facegen.sampling.photos import Photo, read_photo
from facegen.sampling.request import asking_of, read_request
from facegen.types import PromptReading
from facegen.vocabulary.conflicts import implied_by, rivals_of

NO_FINDER = "none"
SMALLEST_FACE = 0.25  # of the side of the square that is edited
WORDS = ("prompt", "attributes", "class")
YES, NO = 1.0, -1.0

Labels = Mapping[str, float]


@dataclass(frozen=True)
class EditRequest:
    """Labels that a photo is told to show, and those asked for in their place; `reading` as it was asked."""

    told: dict[str, float]
    asked: dict[str, float]
    reading: PromptReading

    @property
    def wanted(self) -> dict[str, float]:
        """The labels that were asked for by name."""
        return dict(self.reading.labels)


def check_editable(generator: FaceGenerator) -> None:
    """Refuse a model that cannot be asked for something else.

    Raises:
        UsageError: it is asked with pictures or not at all, or draws in few steps.
    """
    if not set(WORDS) & set(asking_of(generator).options):
        raise UsageError(
            f"A photo cannot be edited with this model: it was trained on {generator.trained_on}, and an "
            "edit asks for other attributes, another class or other words.",
            hint="Give a run with attributes: facegen train --preset celeba-attributes --data LATENTS "
            "--run RUN",
        )
    if generator.few_steps:
        raise UsageError(
            "A photo cannot be edited with a model that draws in few steps: they lead down from noise only.",
            hint="Give the model that it was taught by.",
        )


def edit_request(
    generator: FaceGenerator,
    options: EditOptions,
    photo: Photo,
    classifier: FaceClassifier | None,
    progress: Progress,
) -> EditRequest:
    """What `options` ask for, and what the photo shows, as far as it is told or `classifier` reads it.

    Raises:
        UsageError: a label that the model does not know, or a way it cannot be asked.
    """
    reading = read_request(
        generator,
        progress,
        prompt=options.prompt,
        attributes=options.attributes,
        class_name=options.class_name,
    )
    silent, told = SilentProgress(), PromptReading({})
    if (options.from_prompt, options.from_attributes, options.from_class) != (None, None, None):
        told = read_request(
            generator,
            silent,
            prompt=options.from_prompt,
            attributes=options.from_attributes,
            class_name=options.from_class,
        )
    seen = {} if classifier is None else seen_labels(generator, classifier, photo.image[None])[0]
    shown = overlaid(seen, told.labels) if generator.attributes else (dict(told.labels) or seen)
    wanted = reading.labels
    asked = overlaid(shown, wanted) if generator.attributes else (dict(wanted) or shown)
    return EditRequest(dict(shown), asked, reading)


def seen_labels(
    generator: FaceGenerator, classifier: FaceClassifier, images: Tensor
) -> list[dict[str, float]]:
    """What a classifier sees in uint8 images (B, 3, H, W), as labels that the model can be asked with."""
    logits = classifier.logits(images)
    if classifier.classes:
        names = [classifier.classes[int(row.argmax())] for row in logits]
        return [{name: YES} if name in generator.classes else {} for name in names]
    known = [(i, name) for i, name in enumerate(classifier.attributes) if name in generator.attributes]
    return [{name: YES if row[i] > 0 else NO for i, name in known} for row in logits.tolist()]


def overlaid(shown: Labels, wanted: Labels) -> dict[str, float]:
    """`shown` with what is wanted in its place and what that rules out or in, such as other hair."""
    found = {**shown, **wanted}
    for name, value in wanted.items():
        for other in rivals_of(name) if value > 0 else ():
            if found.get(other, 0) > 0 and other not in wanted:
                found[other] = NO
        for other in implied_by(name) if value > 0 else ():
            if found.get(other, 0) < 0 and other not in wanted:
                found[other] = YES
        for other in found if value < 0 else ():
            if name in implied_by(other) and found[other] > 0 and other not in wanted:
                found[other] = NO
    return found


def photo_to_edit(path: Path, generator: FaceGenerator, options: EditOptions) -> Photo:
    """The photo as the model sees it.

    Raises:
        DataError: no picture, or one of another size in which no face is found.
        UsageError: there is no such crop or finder.
    """
    size = generator.image_size

    def check(square: Image.Image) -> None:
        if square.size == (size, size) or options.finder == NO_FINDER:
            return
        finder = _finder(options.finder)
        if finder is not None and not finder.find(square, SMALLEST_FACE * square.width):
            raise DataError(
                f"No face is found in the photo '{path}', in the square of {square.width} pixels that --crop "
                f"{options.crop} cuts.",
                hint="Cut it where the face is (--crop SHARE,X,Y), or cut all faces out of your photos with "
                "'facegen prepare photos'. If it does show one: --finder none",
            )

    return read_photo(path, options.crop, size, check)


def _finder(kind: str) -> FaceFinder | None:
    """The finder of that kind; None where what it needs is not installed."""
    trust(kind)  # named by whoever calls
    finder: Any = load_kind("finders", kind).build(kind_config("finders", {"kind": kind}))
    try:
        finder.check()
    except MissingModelError:
        return None
    return finder


def check_region(generator: FaceGenerator, options: EditOptions) -> None:
    """Whether what may change can be found by itself.

    Raises:
        UsageError: a mask says it already, the model's samples are no maps, or nothing is asked.
    """
    if options.region is None:
        return
    if options.mask is not None:
        raise UsageError("--region finds what --mask says.", hint="Leave one of them out.")
    if len(generator.sample_spec.shape) != 3:
        raise UsageError(
            "--region needs a model that draws on a map, and this one draws a vector, which has no places.",
            hint="Leave --region out.",
        )
    if options.prompt is None and options.attributes is None and options.class_name is None:
        raise UsageError("--region is where a request shows, and nothing is asked.", hint="Give --prompt.")


def read_mask(path: Path, generator: FaceGenerator, options: EditOptions) -> tuple[Photo, Tensor]:
    """The mask as a picture and as (H, W) in [0, 1]: 1 where the photo may change.

    Raises:
        DataError: no picture, or one that is black all over.
        UsageError: the model's samples are no maps.
    """
    if len(generator.sample_spec.shape) != 3:
        raise UsageError(
            "--mask needs a model that draws on a map, and this one draws a vector, which has no places.",
            hint="Leave --mask out.",
        )
    mask = read_photo(path, options.crop, generator.image_size)
    where = torch.from_numpy(_grey(mask.image)).float() / 255
    if not bool((where > 0).any()):
        raise DataError(
            f"The mask '{path}' is black all over, so nothing may change.",
            hint="Paint white what may change, on black, in a picture of the photo's shape.",
        )
    return mask, where


def _grey(image: Tensor) -> Any:
    import numpy as np

    return np.asarray(to_pil(image).convert("L")).copy()
