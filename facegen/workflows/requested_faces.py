"""Faces drawn for the label rows of real records, in batches, for the evaluations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from facegen.config.recipe import SamplingConfig
from facegen.errors import DataError, UsageError
from facegen.formats.dataset import MANIFEST_NAME, Dataset
from facegen.formats.files import write_json
from facegen.formats.images import to_unit
from facegen.formats.latents import INDEX_FILE, LatentStore
from facegen.workflows.generator import FaceGenerator

if TYPE_CHECKING:
    import pandas as pd

BATCH_IMAGES = 64


@dataclass(frozen=True)
class LabelledRecords:
    """Real records that requests are taken from: their labels, and their images or their latents."""

    source: Path
    split: str
    frame: pd.DataFrame
    dataset: Dataset | None = None
    latents: LatentStore | None = None


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
    path = generator.recipe.data.path
    if path is None or not Path(path).is_dir():
        raise UsageError(
            f"The run's data '{path}' are not there, so there are no label rows to ask for.",
            hint="Name a prepared data set or latents with --data DIR.",
        )
    return open_records(Path(path), split)


def drawn_rows(available: int, count: int, seed: int) -> Tensor:
    """`count` row numbers below `available`, (count,): each row once before any comes again."""
    generator = torch.Generator().manual_seed(seed)
    rounds = -(-count // available)
    return torch.cat([torch.randperm(available, generator=generator) for _ in range(rounds)])[:count]


def sampling_settings(
    generator: FaceGenerator, *, guidance: float | None, steps: int | None
) -> SamplingConfig:
    """The run's own sampling settings, with guidance and steps replaced where given.

    Raises:
        UsageError: a guidance below 0 or no steps.
    """
    if guidance is not None and guidance < 0:
        raise UsageError(f"Guidance {guidance:g} is below 0.", hint="1 is off; 2 to 4 is customary.")
    if steps is not None and steps < 1:
        raise UsageError(f"{steps} sampling steps; at least 1 is needed.")
    changes = {"guidance_scale": guidance, "steps": steps}
    given = {name: value for name, value in changes.items() if value is not None}
    return generator.recipe.sampling.model_copy(update=given)


def generated_batches(
    generator: FaceGenerator, inputs: Tensor, settings: SamplingConfig, *, seed: int
) -> Iterator[tuple[slice, Tensor]]:
    """Faces for condition `inputs` (N, ...), as (rows, uint8 (B, 3, H, W)); image i has seed `seed + i`."""
    for start in range(0, len(inputs), BATCH_IMAGES):
        rows = slice(start, min(start + BATCH_IMAGES, len(inputs)))
        seeds = range(seed + rows.start, seed + rows.stop)
        yield rows, generator.generate(inputs[rows], list(seeds), settings)


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


def generator_facts(generator: FaceGenerator, settings: SamplingConfig, seed: int) -> dict[str, Any]:
    """What a report says about how its images were drawn."""
    return {
        "seed": seed,
        "sampler": settings.sampler,
        "steps": settings.steps,
        "guidance_scale": settings.guidance_scale,
        "guidance_interval": list(settings.guidance_interval),
        "checkpoint_step": generator.step,
        "weights_sha256": generator.weights_sha256,
    }


def save_report(run: Path, name: str, report: dict[str, Any]) -> Path:
    """Write a report into the run's `evaluations` folder; returns where.

    Raises:
        StorageError: the disk is full or may not be written to.
    """
    path = evaluation_path(run, name, "json")
    write_json(path, report)
    return path


def evaluation_path(run: Path, name: str, suffix: str) -> Path:
    """An unused `RUN/evaluations/<name>-<UTC time>.<suffix>`; a checkpoint folder means its run."""
    root = run.parents[1] if run.parent.name == "checkpoints" else run
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    stem, number = f"{name}-{stamp}", 1
    while (path := root / "evaluations" / f"{stem}.{suffix}").exists():
        number += 1
        stem = f"{name}-{stamp}-{number}"
    return path
