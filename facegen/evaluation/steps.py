"""What evaluations share: how one is opened, how images pass by, and where report and pictures are kept."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from PIL import Image
from torch import Tensor

from facegen.config.recipe import SamplingConfig
from facegen.errors import DataError, UsageError
from facegen.evaluation.options import AttributeOptions, ControlOptions, MetricOptions
from facegen.formats.classifier_run import check_image_size
from facegen.formats.far import written_beside
from facegen.formats.files import atomic_write, write_json
from facegen.formats.images import image_grid, pil_to_png
from facegen.formats.influences import Influences, save_influences
from facegen.formats.reports import Report
from facegen.models.chosen_images import drawn_rows
from facegen.models.classifier import FaceClassifier, load_classifier
from facegen.models.devices import resolve_device
from facegen.models.generator import FaceGenerator
from facegen.models.loading import load
from facegen.processes import world
from facegen.protocols import Progress
from facegen.sampling.records import LabelledRecords, drawing_settings, request_records

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SomeReport = TypeVar("SomeReport", bound=Report)


@dataclass(frozen=True, kw_only=True)
class Evaluation(Report):
    """A report with the seconds it took, and where it was kept."""

    seconds: float = 0.0
    saved_to: Path | None = None


def open_run(
    run: Path, options: AttributeOptions | ControlOptions | MetricOptions, *, what: str = "samples"
) -> tuple[FaceGenerator, SamplingConfig]:
    """The generator of `run`, and its sampling settings with what `options` say otherwise.

    Raises:
        UsageError: fewer than one sample, settings out of range, a run of another kind.
        MissingModelError: no checkpoint in the run.
    """
    if options.num_samples < 1:
        raise UsageError(f"{options.num_samples} {what}; at least 1 is needed.")
    generator = load(run, resolve_device(options.device))
    return generator, drawing_settings(generator, options)


def open_judge(classifier: Path, generator: FaceGenerator) -> FaceClassifier:
    """The classifier that judges what `generator` draws.

    Raises:
        UsageError: trained on another image size, or a run of another kind.
        MissingModelError: it has no checkpoint.
    """
    judge = load_classifier(classifier, generator.device)
    check_image_size(
        f"The classifier '{classifier}'", judge.image_size, generator.image_size, "this run draws"
    )
    return judge


def asked_records(
    generator: FaceGenerator, data: Path | None, split: str, count: int | None, seed: int
) -> tuple[LabelledRecords, Tensor, pd.DataFrame]:
    """The records that requests come from (see `request_records`), `count` rows of them (see `drawn_rows`;
    None for each once), and the labels of these in that order.

    Raises:
        UsageError, DataError: as `request_records`, or there are no records.
    """
    records = request_records(generator, data, split)
    available = len(records.frame)
    if available == 0:
        raise DataError(f"Split '{records.split}' of '{records.source}' is empty.")
    rows = drawn_rows(available, available if count is None else count, seed)
    return records, rows, records.frame.iloc[rows.tolist()].reset_index(drop=True)


def passing(
    parts: Iterable[Tensor], frame: pd.DataFrame, title: str, progress: Progress
) -> Iterator[tuple[Tensor, pd.DataFrame]]:
    """Batches of images, each with its rows of `frame`, with a progress bar."""
    done = 0
    with progress.stage(title, total=len(frame)) as bar:
        for images in parts:
            yield images, frame.iloc[done : done + len(images)]
            done += len(images)
            bar.advance(len(images))


def generator_facts(generator: FaceGenerator, settings: SamplingConfig, seed: int) -> dict[str, Any]:
    """What a report says about how its images were drawn."""
    return {
        "seed": seed,
        "sampler": settings.sampler,
        "steps": settings.steps,
        "guidance_scale": settings.guidance_scale,
        "guidance_interval": list(settings.guidance_interval),
        "guidance_from": settings.guidance_from,
        "checkpoint_step": generator.step,
        "weights_sha256": generator.weights_sha256,
    }


def finished(
    report: SomeReport,
    started: float,
    run: Path | None,
    name: str | None = None,
    influences: Influences | None = None,
) -> SomeReport:
    """`report` with the seconds since `started` (`time.monotonic`), saved where it is of a `run`.

    The file is `RUN/evaluations/<name>-<time>.json`; `name` is the metric's unless given. `influences` are
    kept beside it.

    Raises:
        StorageError: the disk is full or may not be written to.
    """
    report = replace(report, seconds=round(time.monotonic() - started, 2))
    if run is None:
        return report
    return saved(report, evaluation_path(run, name or report.metric, "json"), influences)


def saved(report: SomeReport, path: Path, influences: Influences | None = None) -> SomeReport:
    """Write the report to `path`, its `influences` beside it; it says where it is.

    Raises:
        StorageError: the disk is full or may not be written to.
    """

    def write() -> None:
        if influences is not None:
            save_influences(path, influences)
        write_json(path, report.to_json())

    world().first(write)
    return replace(report, saved_to=path)


def captioned(images: Tensor, columns: int, captions: Sequence[str], pixels: int = 96) -> Image.Image:
    """uint8 images (N, 3, H, W) in a grid, about `pixels` a side, with a caption each."""
    return image_grid(images, columns, captions, scale=max(1, pixels // images.shape[-1]))


def save_picture(path: Path, picture: Image.Image | Figure) -> Path:
    """Write a PNG to `path`, which is returned.

    Raises:
        StorageError: the disk is full or may not be written to.
    """
    if isinstance(picture, Image.Image):
        content = pil_to_png(picture)
    else:
        content = partial(picture.savefig, format="png", bbox_inches="tight")
    world().first(lambda: atomic_write(path, content))
    return path


def evaluation_path(run: Path, name: str, suffix: str) -> Path:
    """An unused `RUN/evaluations/<name>-<UTC time>.<suffix>`; a checkpoint folder means its run.

    What was read from a far store is judged in a folder of its name here.
    """
    return world().first(lambda: _unused_path(run, name, suffix))


def _unused_path(run: Path, name: str, suffix: str) -> Path:
    root = written_beside(run.parents[1] if run.parent.name == "checkpoints" else run)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    stem, number = f"{name}-{stamp}", 1
    while (path := root / "evaluations" / f"{stem}.{suffix}").exists():
        number += 1
        stem = f"{name}-{stamp}-{number}"
    return path
