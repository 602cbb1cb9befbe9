"""`facegen eval fid`: the Fréchet distance of faces from real ones, with what it takes to read it: the
floor that real images reach, the autoencoder's ceiling, and what was compared how."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facegen.errors import DataError, UsageError
from facegen.evaluation.features import FeatureExtractor, load_extractor
from facegen.evaluation.honesty import check_sample_count, real_floor, remarks_on
from facegen.evaluation.image_sources import FolderImages, ImageSource, batches, chosen_indices
from facegen.evaluation.scores import FidReport
from facegen.evaluation.statistics import RealImages, collect_features, real_statistics
from facegen.formats.checkpoint import INFO_FILE, list_checkpoints
from facegen.formats.dataset import MANIFEST_NAME, Dataset
from facegen.formats.run import RECIPE_FILE
from facegen.metrics.fid import FeatureStatistics, frechet_distance
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.workflows.devices import resolve_device
from facegen.workflows.generator import FaceGenerator
from facegen.workflows.requested_faces import (
    BATCH_IMAGES,
    LabelledRecords,
    drawn_rows,
    generated_batches,
    generator_facts,
    reconstructions,
    sampling_settings,
    save_report,
)

GENERATED_IMAGES = 1000  # where no number is asked for
CEILING_IMAGES = 1000  # the ceiling is not worth more time than the score


@dataclass(frozen=True)
class FidOptions:
    """How to evaluate.

    `num_samples` None means 1,000 generated images, or all there are of a folder or data set. `split` is
    the reference's; `guidance` and `steps` None are the run's own.
    """

    features: str = "inception"
    weights: Path | None = None
    num_samples: int | None = None
    split: str = "train"
    seed: int = 0
    guidance: float | None = None
    steps: int | None = None
    batch_size: int | None = None
    device: str = "auto"


@dataclass(frozen=True)
class _Subject:
    """What is judged: how many images of what size, where they come from, and how they were made."""

    kind: str  # "run", "dataset" or "folder"
    num_samples: int
    image_size: int
    batches: Callable[[int], Iterator[Tensor]]  # batch size -> uint8 (B, 3, H, W)
    settings: dict[str, Any] = field(default_factory=dict)
    generator: FaceGenerator | None = None


@dataclass(frozen=True)
class _Reference:
    """Real images of one split, and what they look like to the extractor."""

    dataset: Dataset
    split: str
    extractor: FeatureExtractor
    statistics: FeatureStatistics
    batch_size: int


def evaluate_fid(
    subject: Path | str,
    reference: Path | str,
    options: FidOptions | None = None,
    progress: Progress | None = None,
) -> FidReport:
    """Score `subject` (a run, a folder of images or a prepared data set) against real images.

    A run draws its samples for label rows of the reference split, and the report is also written to
    `RUN/evaluations/fid-*.json`.

    Raises:
        DataError: too few images, mixed or differing sizes, an empty folder, a missing split.
        MissingModelError: the feature network's weights cannot be had.
        UsageError: unknown features, or a run of another kind.
    """
    options, progress = options or FidOptions(), progress or SilentProgress()
    started = time.monotonic()
    subject = Path(subject)
    dataset = Dataset.open(reference)
    device = resolve_device(options.device)
    opened = _open_subject(subject, dataset, options, device)
    check_sample_count(opened.num_samples, f"'{subject}'")
    real = _open_reference(subject, opened, dataset, options, device, progress)
    title = "Drawing and judging faces" if opened.kind == "run" else "Features of the images"
    parts = opened.batches(real.batch_size)
    features = collect_features(parts, opened.num_samples, real.extractor, title, progress)
    count, num_reference = len(features), real.statistics.num_samples
    report = FidReport(
        score=frechet_distance(FeatureStatistics.of(features), real.statistics),
        num_samples=count,
        num_reference=num_reference,
        num_features=features.shape[1],
        features=real.extractor.name,
        features_fingerprint=real.extractor.fingerprint,
        subject=str(subject),
        subject_kind=opened.kind,
        reference=str(dataset.folder),
        reference_fingerprint=dataset.manifest.fingerprint,
        split=options.split,
        floor=real_floor(
            dataset,
            options.split,
            real.statistics,
            real.extractor,
            num_samples=count,
            seed=options.seed,
            batch_size=real.batch_size,
            progress=progress,
        ),
        ceiling=_ceiling(opened, real, options.seed, progress),
        remarks=tuple(remarks_on(count, num_reference, features.shape[1])),
        settings=opened.settings,
        seconds=round(time.monotonic() - started, 2),
    )
    if opened.kind != "run":
        return report
    return replace(report, saved_to=save_report(subject, "fid", report.to_json()))


def _open_subject(subject: Path, reference: Dataset, options: FidOptions, device: torch.device) -> _Subject:
    if not subject.exists():
        raise DataError(
            f"'{subject}' does not exist; expected a run, a folder of images or a prepared data set."
        )
    if (subject / RECIPE_FILE).is_file() or (subject / INFO_FILE).is_file() or list_checkpoints(subject):
        return _run_subject(subject, reference, options, device)
    if options.guidance is not None or options.steps is not None:
        raise UsageError(f"Guidance and steps are for runs, and '{subject}' is not one.")
    if (subject / MANIFEST_NAME).is_file():
        dataset = Dataset.open(subject)
        split = dataset.split(options.split)
        return _stored_subject("dataset", split, dataset.manifest.image_size, options)
    folder = FolderImages(subject)
    return _stored_subject("folder", folder, folder.image_size, options)


def _stored_subject(kind: str, source: ImageSource, image_size: int, options: FidOptions) -> _Subject:
    if options.num_samples is not None and options.num_samples > len(source):
        raise DataError(f"{options.num_samples:,} images were asked for, and there are {len(source):,}.")
    indices = chosen_indices(len(source), options.num_samples, options.seed)
    return _Subject(
        kind,
        len(indices),
        image_size,
        lambda batch_size: batches(source, indices, batch_size),
        {"seed": options.seed},
    )


def _run_subject(subject: Path, reference: Dataset, options: FidOptions, device: torch.device) -> _Subject:
    generator = FaceGenerator.load(subject, device)
    count = GENERATED_IMAGES if options.num_samples is None else options.num_samples
    settings = sampling_settings(generator, guidance=options.guidance, steps=options.steps)
    frame = reference.split(options.split).frame
    rows = drawn_rows(len(frame), count, options.seed)
    inputs = generator.conditioner.inputs(frame.iloc[rows.tolist()])

    def draw(batch_size: int) -> Iterator[Tensor]:
        for _, images in generated_batches(generator, inputs, settings, seed=options.seed):
            yield from images.split(batch_size)

    facts = generator_facts(generator, settings, options.seed)
    return _Subject("run", count, generator.image_size, draw, facts, generator)


def _open_reference(
    subject: Path,
    opened: _Subject,
    dataset: Dataset,
    options: FidOptions,
    device: torch.device,
    progress: Progress,
) -> _Reference:
    size = dataset.manifest.image_size
    if opened.image_size != size:
        raise DataError(
            f"'{subject}' has images of {opened.image_size} pixels and the reference of {size}; resizing "
            "either would change the score.",
            hint=f"Prepare the reference with --size {opened.image_size}.",
        )
    check_sample_count(len(dataset.split(options.split)), f"Reference split '{options.split}'")
    extractor = load_extractor(options.features, options.weights, device, progress)
    if extractor.image_size not in (None, size):
        raise UsageError(
            f"The network of '{extractor.name}' was trained on {extractor.image_size} pixels, and these "
            f"images have {size}.",
            hint=f"Train a classifier on a data set prepared with --size {size}.",
        )
    batch_size = options.batch_size or extractor.default_batch_size
    statistics = real_statistics(RealImages(dataset, options.split), extractor, batch_size, progress)
    return _Reference(dataset, options.split, extractor, statistics, batch_size)


def _ceiling(
    opened: _Subject, real: _Reference, seed: int, progress: Progress
) -> dict[str, float | int] | None:
    """Score of the reference's own images after the run's autoencoder; None for what is not a run."""
    generator = opened.generator
    if generator is None:
        return None
    split = real.dataset.split(real.split)
    records = LabelledRecords(real.dataset.folder, real.split, split.frame, dataset=real.dataset)
    rows = chosen_indices(len(split), min(CEILING_IMAGES, opened.num_samples), seed)
    parts = (reconstructions(generator, records, part) for part in rows.split(BATCH_IMAGES))
    features = collect_features(parts, len(rows), real.extractor, "Features of reconstructions", progress)
    score = frechet_distance(FeatureStatistics.of(features), real.statistics)
    return {"score": score, "num_samples": len(rows)}
