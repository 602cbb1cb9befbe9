"""`facegen eval metric`: a run judged by a metric from outside the package."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from facegen.config.kinds import kind_config, load_kind
from facegen.errors import DataError, UsageError
from facegen.evaluation.options import MetricOptions
from facegen.models.devices import resolve_device
from facegen.models.generator import FaceGenerator
from facegen.progress import SilentProgress
from facegen.protocols import Metric, Progress
from facegen.sampling.records import (
    BATCH_IMAGES,
    LabelledRecords,
    drawn_rows,
    generated_batches,
    generator_facts,
    open_records,
    real_images,
    records_of_run,
    sampling_settings,
    save_report,
)

if TYPE_CHECKING:
    import pandas as pd

REPORT_FORMAT_VERSION = 1
OWN_COMMANDS = {"fid": "facegen eval fid", "attributes": "facegen eval attributes"}


@dataclass(frozen=True)
class MetricReport:
    """What the metric said of generated images, and of real ones with the same labels if there are any."""

    metric: str
    generated: dict[str, Any]
    real: dict[str, Any] | None
    num_samples: int
    run: str
    reference: str
    split: str
    config: dict[str, Any]
    settings: dict[str, Any]
    seconds: float
    saved_to: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        data = {"format_version": REPORT_FORMAT_VERSION, **asdict(self)}
        return {**data, "saved_to": None if self.saved_to is None else str(self.saved_to)}


def evaluate_metric(
    run: Path | str,
    metric: str,
    options: MetricOptions | None = None,
    progress: Progress | None = None,
) -> MetricReport:
    """Draw faces for label rows of held-out records and let `metric` ("package.module:Name") judge them.

    Its `build(config, labels=..., reference=...)` is told the labels (`LabelSchema`) and the real images
    (`DatasetSplit`, None where the records are latents). Writes to `RUN/evaluations/metric-*.json`.

    Raises:
        UsageError: no such metric, one with a command of its own, or what it offers is no metric.
        DataError: no label rows, or a reference of another image size.
        MissingModelError: no checkpoint in the run.
    """
    options, progress = options or MetricOptions(), progress or SilentProgress()
    started = time.monotonic()
    run = Path(run)
    if options.num_samples < 1:
        raise UsageError(f"{options.num_samples} samples; at least 1 is needed.")
    if metric in OWN_COMMANDS:
        raise UsageError(f"The metric '{metric}' has a command of its own: {OWN_COMMANDS[metric]}.")
    config = kind_config("metrics", {"kind": metric})
    generator = FaceGenerator.load(run, resolve_device(options.device))
    settings = sampling_settings(generator, guidance=options.guidance, steps=options.steps)
    records = _records(generator, options)
    rows = drawn_rows(len(records.frame), options.num_samples, options.seed)
    frame = records.frame.iloc[rows.tolist()].reset_index(drop=True)
    inputs = generator.conditioner.inputs(frame)

    drawn = generated_batches(generator, inputs, settings, seed=options.seed)
    judge = _build(metric, config, generator, records)
    generated = _judged(judge, drawn, frame, "Drawing and judging faces", progress)
    real = None
    if records.dataset is not None:
        judge, photos = _build(metric, config, generator, records), _real_batches(records, rows)
        real = _judged(judge, photos, frame, "Judging the real images", progress)
    report = MetricReport(
        metric=metric,
        generated=_plain(generated, metric),
        real=None if real is None else _plain(real, metric),
        num_samples=options.num_samples,
        run=str(run),
        reference=str(records.source),
        split=options.split,
        config=config.model_dump(mode="json"),
        settings=generator_facts(generator, settings, options.seed),
        seconds=round(time.monotonic() - started, 2),
    )
    name = "metric-" + re.sub(r"\W+", "-", metric.rpartition(":")[2])
    return replace(report, saved_to=save_report(run, name, report.to_json()))


def _records(generator: FaceGenerator, options: MetricOptions) -> LabelledRecords:
    if options.reference is None:
        records = records_of_run(generator, options.split)
    else:
        records = open_records(options.reference, options.split)
    if len(records.frame) == 0:
        raise DataError(f"Split '{options.split}' of '{records.source}' is empty.")
    size = None if records.dataset is None else records.dataset.manifest.image_size
    if size not in (None, generator.image_size):
        raise DataError(
            f"The run draws {generator.image_size} pixels and the reference '{records.source}' has {size}.",
            hint=f"Prepare the reference with --size {generator.image_size}.",
        )
    return records


def _build(metric: str, config: Any, generator: FaceGenerator, records: LabelledRecords) -> Metric:
    reference = None if records.dataset is None else records.dataset.split(records.split)
    built = load_kind("metrics", metric).build(config, labels=generator.labels, reference=reference)
    missing = [name for name in ("update", "compute") if not callable(getattr(built, name, None))]
    if missing:
        raise UsageError(
            f"The metric '{metric}' built a {type(built).__name__} without {' and '.join(missing)}.",
            hint="See facegen.protocols.Metric for what a metric offers.",
        )
    return built


def _real_batches(records: LabelledRecords, rows: Tensor) -> Iterator[tuple[slice, Tensor]]:
    for start in range(0, len(rows), BATCH_IMAGES):
        part = slice(start, min(start + BATCH_IMAGES, len(rows)))
        yield part, real_images(records, rows[part])


def _judged(
    metric: Metric,
    batches: Iterator[tuple[slice, Tensor]],
    frame: pd.DataFrame,
    title: str,
    progress: Progress,
) -> dict[str, Any]:
    with progress.stage(title, total=len(frame)) as bar:
        for rows, images in batches:
            metric.update(images, frame.iloc[rows])
            bar.advance(len(images))
    return metric.compute()


def _plain(value: Any, metric: str) -> Any:
    """`value` made of what JSON has: numbers of torch and numpy become Python's, not finite ones None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item, metric) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, metric) for item in value]
    if hasattr(value, "tolist"):  # tensors and arrays, scalars included
        return _plain(value.tolist(), metric)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    try:
        json.dumps(value)
    except TypeError as error:
        raise UsageError(
            f"The metric '{metric}' answers with a {type(value).__name__}, which a report cannot hold.",
            hint="compute() returns a dict of numbers, words, lists and dicts.",
        ) from error
    return value
