"""Faces drawn for the label rows of real records, in batches, for the evaluations."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from facegen.config.kinds import kind_config, trust
from facegen.config.recipe import SamplingConfig
from facegen.errors import DataError, UsageError
from facegen.formats.dataset import MANIFEST_NAME, Dataset
from facegen.formats.far import named, near
from facegen.formats.files import sha256_of
from facegen.formats.images import to_unit
from facegen.formats.latents import INDEX_FILE, LatentStore
from facegen.models.generator import FaceGenerator, sampling_with
from facegen.processes import world
from facegen.protocols import SampleConditioner
from facegen.sampling.options import Drawing
from facegen.types import LabelSchema

if TYPE_CHECKING:
    import pandas as pd

BATCH_IMAGES = 64
HELD_OUT = ("validation", "test")
_drawn: dict[tuple[object, ...], list[tuple[slice, Tensor]]] | None = None  # in `drawing_once`


@dataclass(frozen=True)
class LabelledRecords:
    """Real records that requests are taken from: their labels, and their images or their latents."""

    source: Path
    split: str
    frame: pd.DataFrame
    dataset: Dataset | None = None
    latents: LatentStore | None = None

    @property
    def labels(self) -> LabelSchema:
        """Which labels the records carry."""
        if self.dataset is not None:
            return self.dataset.manifest.labels
        return LabelSchema() if self.latents is None else self.latents.index.labels

    @property
    def dataset_fingerprint(self) -> str | None:
        """Of the data set that they are from, also where only its latents are here."""
        if self.dataset is not None:
            return self.dataset.manifest.fingerprint
        return None if self.latents is None else self.latents.index.dataset_fingerprint


def open_records(source: Path, split: str) -> LabelledRecords:
    """The records of `split` of a prepared data set or of a folder of latents.

    Raises:
        DataError: neither of the two, or no such split.
    """
    source = Path(source)
    if (source / MANIFEST_NAME).is_file():
        dataset = Dataset.open(source)
        return LabelledRecords(source, split, dataset.split(split).frame, dataset=dataset)
    if (source / INDEX_FILE).is_file():
        latents = LatentStore.open(source)
        return LabelledRecords(source, split, latents.split(split).frame, latents=latents)
    raise DataError(
        f"'{source}' is neither a prepared data set ({MANIFEST_NAME}) nor latents ({INDEX_FILE}).",
        hint="Give the data set that 'facegen prepare' wrote, or the latents of 'facegen encode'.",
    )


def records_of_run(generator: FaceGenerator, split: str) -> LabelledRecords:
    """The records that the run was trained with, from the path its recipe names.

    Raises:
        UsageError: the recipe names no data, or they are not there any more.
        DataError: no such split.
    """
    told = generator.data.path
    path = None if told is None else near(told)
    if path is None or not path.is_dir():
        where = "are not named in it" if told is None else f"'{told}' are not there"
        raise UsageError(
            f"The run's data {where}, so there are no label rows to ask for.",
            hint="Name a prepared data set or latents with --data DIR.",
        )
    return open_records(path, split)


def request_records(generator: FaceGenerator, data: Path | None, split: str) -> LabelledRecords:
    """The records that requests come from: of `data`, or of what the run was trained with.

    A model of pictures is not asked with those it was trained on: where `split` is the training split, it is
    asked with the validation or test split.

    Raises:
        UsageError: the run's own data are not there any more.
        DataError: no such data, no such split, or no held-out pictures.
    """

    def of(name: str) -> LabelledRecords:
        return records_of_run(generator, name) if data is None else open_records(data, name)

    records = of(split)
    if not generator.takes_pictures or split != generator.data.train_split:
        return records
    store = records.dataset or records.latents
    assert store is not None
    counts = store.manifest.counts if isinstance(store, Dataset) else store.index.counts
    for name in HELD_OUT:
        if counts.get(name):
            return of(name)
    raise DataError(
        f"'{named(records.source)}' has no held-out pictures to ask this model with.",
        hint="Prepare the data again with --splits, or name other data.",
    )


def requested_inputs(generator: FaceGenerator, records: LabelledRecords, rows: Tensor) -> Tensor:
    """Condition inputs (N, ...) for `rows` of the records: of their labels, or of their pictures.

    Raises:
        DataError: the records' images are of another size, or they lack what the condition comes from.
    """
    conditioner: Any = generator.conditioner
    frame = records.frame.iloc[rows.tolist()]
    if not generator.takes_pictures:
        return conditioner.inputs(frame)
    if records.dataset is not None:
        size = records.dataset.manifest.image_size
        if size != generator.image_size:
            raise DataError(
                f"The run was trained on pictures of {generator.image_size} pixels, and "
                f"'{named(records.source)}' has {size}.",
                hint=f"Prepare the data with --size {generator.image_size}.",
            )
        return torch.cat(
            [generator.inputs_of_images(real_images(records, part)) for part in rows.split(BATCH_IMAGES)]
        )
    assert records.latents is not None
    if isinstance(conditioner, SampleConditioner):
        means = records.latents.split(records.split).gather(rows).mean
        return conditioner.inputs_of(generator.scaling.apply(means))
    conditioner.attach(records.latents.text_embeddings, records.latents.image_features)
    return conditioner.inputs(frame)


def sampling_settings(
    generator: FaceGenerator,
    *,
    guidance: float | None = None,
    steps: int | None = None,
    sampler: str | None = None,
    guidance_interval: tuple[float, float] | None = None,
) -> SamplingConfig:
    """The run's own sampling settings, with those replaced that are given.

    Raises:
        UsageError: an unknown sampler, or a number out of range.
    """
    given: dict[str, Any] = {
        "guidance_scale": guidance,
        "steps": steps,
        "guidance_interval": guidance_interval,
    }
    if sampler is not None and sampler != generator.sampling.sampler["kind"]:
        trust(sampler)
        given["sampler"] = kind_config("samplers", {"kind": sampler}).model_dump()
    changes = {name: value for name, value in given.items() if value is not None}
    return sampling_with(generator.sampling, changes)


def drawing_settings(generator: FaceGenerator, options: Drawing) -> SamplingConfig:
    """The run's own sampling settings, with those replaced that `options` have.

    Raises:
        UsageError: as `sampling_settings`.
    """
    return sampling_settings(
        generator, **{name: value for name, value in options.drawing.items() if name != "seed"}
    )


def generated_batches(
    generator: FaceGenerator, inputs: Tensor, settings: SamplingConfig, *, seed: int
) -> Iterator[tuple[slice, Tensor]]:
    """Faces for condition `inputs` (N, ...), as (rows, uint8 (B, 3, H, W)); image i has seed `seed + i`.

    Several processes divide the drawing, and all get all faces. Within `drawing_once` equal calls draw once.
    """
    known, asked = generator.weights_sha256, sha256_of(inputs.cpu().numpy().tobytes())
    key = (known, str(generator.source), str(generator.device), asked, repr(settings), seed)
    keeping = None if known is None else _drawn
    if keeping is not None and key in keeping:
        yield from keeping[key]
        return
    starts = range(0, len(inputs), BATCH_IMAGES)
    parts = [slice(start, min(start + BATCH_IMAGES, len(inputs))) for start in starts]

    def drawn(rows: slice) -> Tensor:
        return generator.generate(inputs[rows], range(seed + rows.start, seed + rows.stop), settings)

    kept: list[tuple[slice, Tensor]] = []
    for batch in zip(parts, world().divided(parts, drawn), strict=True):
        if keeping is not None:
            kept.append(batch)
        yield batch
    if keeping is not None:
        keeping[key] = kept


@contextmanager
def drawing_once() -> Generator[None]:
    """Within this, faces that several evaluations ask for alike are drawn by the first, and kept for all."""
    global _drawn
    _drawn = {}
    try:
        yield
    finally:
        _drawn = None


def real_images(records: LabelledRecords, rows: Tensor) -> Tensor:
    """The records' own images, uint8 (N, 3, H, W); only of a data set, as latents hold none."""
    if records.dataset is None:
        raise ValueError("latents hold no images")
    return records.dataset.split(records.split).images(rows)


@torch.no_grad()
def reconstructions(generator: FaceGenerator, records: LabelledRecords, rows: Tensor) -> Tensor:
    """The records' images after the run's autoencoder, uint8 (N, 3, H, W)."""
    if records.latents is None:
        images = real_images(records, rows).to(generator.device)
        mean = generator.autoencoder.encode(to_unit(images)).mean
    else:
        mean = records.latents.split(records.split).gather(rows).mean.to(generator.device)
    return generator.decode(generator.scaling.apply(mean))
