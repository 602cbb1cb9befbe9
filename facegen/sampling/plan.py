"""What `facegen sample` draws: for words or labels, for a blend, for a photo, or between two.

Letters: N images, K parts of a blend, C columns of a strip.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from facegen.models.generator import FaceGenerator
from facegen.protocols import Progress
from facegen.sampling.options import SampleRequest
from facegen.sampling.photos import Photo, read_photo
from facegen.sampling.request import (
    check_takes,
    parse_blend,
    read_request,
    read_terms,
    request_text,
)
from facegen.types import Blend, PromptReading

GRID_IMAGES = 64  # more would not be looked at
VARIATION_COLUMNS = 8  # of each photo, where there are several
STRIP_SEEDS = 4
IMAGES, VARIATIONS, WALKS = 16, 8, 4  # where no number is asked for


@dataclass(frozen=True)
class Face:
    """One image to draw: its seed, the name of its file, and what its settings say beyond all others'."""

    seed: int
    name: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """A place in the grid: the image of that number, or a photo."""

    caption: str
    show: int | Photo


@dataclass(frozen=True)
class Strip:
    """Images beside the ones asked for: rows of one seed each, all of `columns` images."""

    inputs: Blend
    seeds: tuple[int, ...]
    captions: tuple[str, ...]
    columns: int


@dataclass(frozen=True)
class Plan:
    """Images to draw for condition `inputs` (N, ...), the grid they are shown in, and what was asked."""

    inputs: Tensor | Blend
    faces: tuple[Face, ...]
    cells: tuple[Cell, ...]
    columns: int
    reading: PromptReading
    told: dict[str, Any] = field(default_factory=dict)
    strip: Strip | None = None


def plan_of(generator: FaceGenerator, request: SampleRequest, progress: Progress) -> Plan:
    """What to draw for `request`.

    Raises:
        UsageError: a request that this model cannot be asked.
        DataError: a photo that cannot be read.
    """
    if request.blend is not None:
        return plan_of_blend(generator, parse_blend(request.blend, progress), request, progress)
    paths = request.like or request.between or ()
    if paths:
        check_takes(generator, "like" if request.like else "between")
    photos = [read_photo(path, request.crop, generator.image_size) for path in paths]
    if request.like:
        return plan_of_variations(generator, photos, request)
    if request.between is not None:
        return plan_of_walks(generator, photos, request)
    reading = read_request(
        generator,
        progress,
        prompt=request.prompt,
        attributes=request.attributes,
        class_name=request.class_name,
    )
    return plan_of_reading(generator, reading, request)


def plan_of_reading(generator: FaceGenerator, reading: PromptReading, request: SampleRequest) -> Plan:
    """Images that all ask for what was read; of `request` the prompt (for captions), seed and count.

    Raises:
        UsageError: a label that this model does not know.
    """
    told = {"prompt": request.prompt, "labels": reading.labels}
    words = request.prompt or request_text(reading.labels)
    inputs = generator.inputs_for(reading, request.count or IMAGES)
    return _plain(inputs, request.seed, words, reading, told)


def _plain(
    inputs: Tensor | Blend,
    seed: int,
    words: str,
    reading: PromptReading,
    told: dict[str, Any],
    strip: Strip | None = None,
) -> Plan:
    """Images that all ask for the same."""
    faces = tuple(Face(s, f"seed-{s:08d}.png") for s in range(seed, seed + len(inputs)))
    shown = faces[:GRID_IMAGES]
    cells = tuple(Cell(f"{words}\nseed {face.seed}".strip(), i) for i, face in enumerate(shown))
    columns = min(8, math.ceil(len(shown) ** 0.5))
    return Plan(inputs, faces, cells, columns, reading, told, strip)


def plan_of_blend(
    generator: FaceGenerator, weights: Mapping[str, float], request: SampleRequest, progress: Progress
) -> Plan:
    """Images of one mix of terms, and the strip from each part to the mix; of `request` seed and count.

    Raises:
        UsageError: a model without blends, or a term that it does not know.
    """
    count = request.count or IMAGES
    readings = read_terms(generator, weights, progress)
    inputs = generator.blend(weights, count)
    columns = strip_weights(list(weights.values()))
    seeds = tuple(range(request.seed, request.seed + min(count, STRIP_SEEDS)))
    rows = [generator.inputs_for(reading) for reading in readings]
    strip = Strip(
        Blend.of_rows(rows, columns.repeat(len(seeds), 1)),
        tuple(seed for seed in seeds for _ in columns),
        tuple(
            "\n".join([*shares(list(weights), row), f"seed {seed}"])
            for seed in seeds
            for row in columns.tolist()
        ),
        len(columns),
    )
    reading = PromptReading(
        {},
        tuple(pair for reading in readings for pair in reading.understood),
        tuple(word for reading in readings for word in reading.not_understood),
    )
    words = ", ".join(shares(list(weights), list(weights.values())))
    return _plain(inputs, request.seed, words, reading, {"blend": dict(weights)}, strip)


def strip_weights(weights: Sequence[float]) -> Tensor:
    """Weights (C, K) from the pure parts to their mix.

    Two parts: all of the first, half way, the mix, half way, all of the second. Three: each alone, each
    pair in its own proportion, all together. More: each alone, then all together.
    """
    count, mix = len(weights), torch.tensor(weights)
    pure = torch.eye(count)
    if count == 2:
        return torch.stack([pure[0], (pure[0] + mix) / 2, mix, (pure[1] + mix) / 2, pure[1]])
    pairs = [mix * (1 - pure[left_out]) for left_out in reversed(range(count))] if count == 3 else []
    pairs = [pair / pair.sum() for pair in pairs if pair.sum() > 0]
    return torch.stack([*pure, *pairs, mix])


def shares(terms: Sequence[str], weights: Sequence[float]) -> list[str]:
    """Such as "Asian 25 %" and "White 75 %"; parts without weight are left out."""
    return [f"{term} {100 * weight:.0f} %" for term, weight in zip(terms, weights, strict=True) if weight]


def plan_of_variations(generator: FaceGenerator, photos: Sequence[Photo], request: SampleRequest) -> Plan:
    """Images like each photo, the same seeds for every photo, so that they can be compared column by column.

    Of `request` are used crop, seed and count.
    """
    count = request.count or VARIATIONS
    rows = generator.inputs_of_images(torch.stack([photo.image for photo in photos]))
    inputs = rows.repeat_interleave(count, 0)
    seeds = range(request.seed, request.seed + count)
    faces, cells = [], []
    shown = GRID_IMAGES if len(photos) == 1 else VARIATION_COLUMNS
    for number, photo in enumerate(photos, start=1):
        prefix = f"photo-{number:02d}-" if len(photos) > 1 else ""
        cells.append(Cell(f"photo\n{photo.name}", photo))
        cells += [Cell(f"seed {seed}", len(faces) + i) for i, seed in enumerate(seeds[:shown])]
        faces += [Face(seed, f"{prefix}seed-{seed:08d}.png", {"like": photo.told}) for seed in seeds]
    columns = 1 + min(count, VARIATION_COLUMNS)
    told = {"like": [photo.told for photo in photos], "crop": request.crop}
    return Plan(inputs, tuple(faces), tuple(cells), columns, PromptReading({}), told)


def plan_of_walks(generator: FaceGenerator, photos: Sequence[Photo], request: SampleRequest) -> Plan:
    """Frames on the straight line between the conditions of two photos, each walk with one noise.

    Linear, as Preechakul et al. 2022 (arXiv:2111.15640) between their vectors. Of `request` are used crop,
    frames, seed and count.
    """
    a, b = generator.inputs_of_images(torch.stack([photo.image for photo in photos])).split(1)
    positions = torch.linspace(0, 1, request.num_frames)
    weights = torch.stack([1 - positions, positions], dim=1)
    seeds = range(request.seed, request.seed + (request.count or WALKS))
    faces, cells = [], []
    for seed in seeds:
        cells.append(Cell(f"photo\n{photos[0].name}", photos[0]))
        for number, position in enumerate(positions.tolist()):
            cells.append(Cell(f"{100 * position:.0f} %\nseed {seed}", len(faces)))
            facts = {"position": round(position, 6)}
            faces.append(Face(seed, f"seed-{seed:08d}-frame-{number:03d}.png", facts))
        cells.append(Cell(f"photo\n{photos[1].name}", photos[1]))
    told = {
        "between": [photo.told for photo in photos],
        "crop": request.crop,
        "frames": request.num_frames,
    }
    inputs = Blend.of_rows([a, b], weights.repeat(len(seeds), 1))
    return Plan(inputs, tuple(faces), tuple(cells), request.num_frames + 2, PromptReading({}), told)
