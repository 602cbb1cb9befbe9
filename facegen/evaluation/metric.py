"""`facegen eval metric`: a run judged by a metric from outside the package."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python
from torch import Tensor

from facegen.config.kinds import kind_config, load_kind, trust
from facegen.errors import DataError, UsageError
from facegen.evaluation.colours import ColoursSeen
from facegen.evaluation.options import MetricOptions
from facegen.evaluation.score_rows import Better, score_row
from facegen.evaluation.steps import (
    Evaluation,
    asked_records,
    finished,
    generator_facts,
    open_run,
    passing,
)
from facegen.formats.far import named
from facegen.formats.reports import ScoreRow
from facegen.metrics import Shift, colour_remark
from facegen.models.generator import FaceGenerator
from facegen.progress import SilentProgress
from facegen.protocols import Metric, Progress
from facegen.sampling.records import (
    BATCH_IMAGES,
    LabelledRecords,
    generated_batches,
    real_images,
)

OWN_COMMANDS = {"fid": "facegen eval fid", "attributes": "facegen eval attributes"}


@dataclass(frozen=True, kw_only=True)
class MetricReport(Evaluation):
    """What the metric said of generated images, and of real ones with the same labels if there are any.

    `scores` are the numbers it said by name, and what it said as `{"value", "low", "high"}`, with a 95 %
    interval and `"better"` ("lower" or "higher") if it knows; their ceiling is the same of real images.
    `colour` is how the generated images' colours are shifted against those of the real ones.
    """

    scores: dict[str, ScoreRow]
    fingerprint: dict[str, Any]
    generated: dict[str, Any]
    real: dict[str, Any] | None
    num_samples: int
    run: str
    reference: str
    split: str
    config: dict[str, Any]
    settings: dict[str, Any]
    colour: dict[str, Shift] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


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
    started, run = time.monotonic(), Path(run)
    if metric in OWN_COMMANDS:
        raise UsageError(f"The metric '{metric}' has a command of its own: {OWN_COMMANDS[metric]}.")
    trust(metric)
    config = kind_config("metrics", {"kind": metric})
    generator, settings = open_run(run, options)
    records, rows, frame = asked_records(
        generator, options.reference, options.split, options.num_samples, options.seed
    )
    _check_size(generator, records)
    inputs = generator.conditioner.inputs(frame)

    drawn, photos = ColoursSeen(), ColoursSeen()

    def judged(parts: Iterable[Tensor], title: str) -> dict[str, Any]:
        judge = _build(metric, config, generator, records)
        for images, labels in passing(parts, frame, title, progress):
            judge.update(images, labels)
        return _plain(judge.compute(), metric)

    faces = generated_batches(generator, inputs, settings, seed=options.seed)
    generated = judged(drawn.of(images for _, images in faces), "Drawing and judging faces")
    real = None
    if records.dataset is not None:
        parts = (real_images(records, part) for part in rows.split(BATCH_IMAGES))
        real = judged(photos.of(parts), "Judging the real images")
    colour = drawn.beside(photos)
    report = MetricReport(
        metric=metric,
        scores=_scores(generated, real or {}),
        fingerprint={
            "metric": metric,
            "config": config.model_dump(mode="json"),
            "image_size": generator.image_size,
            "data": records.dataset_fingerprint,
            "split": records.split,
            "num_samples": options.num_samples,
        },
        generated=generated,
        real=real,
        num_samples=options.num_samples,
        run=named(run),
        reference=named(records.source),
        split=records.split,
        config=config.model_dump(mode="json"),
        settings=generator_facts(generator, settings, options.seed),
        colour=colour,
        remarks=tuple(filter(None, [colour_remark(colour)])),
    )
    return finished(report, started, run, "metric-" + re.sub(r"\W+", "-", metric.rpartition(":")[2]))


def _scores(generated: dict[str, Any], real: dict[str, Any]) -> dict[str, ScoreRow]:
    """What is a number, or says its value and interval, as a score that compares."""
    ways: dict[Any, Better] = {"lower": "lower", "higher": "higher"}
    rows: dict[str, ScoreRow] = {}
    for name, said in generated.items():
        row, beside = (one if isinstance(one, dict) else {"value": one} for one in (said, real.get(name)))
        value, most = row.get("value"), beside.get("value")
        if isinstance(value, int | float) and not isinstance(value, bool):
            told = str(row.get("interval_of", name))
            rows[name] = score_row(
                "metric", float(value), row, ways.get(row.get("better"), ""), told, ceiling=most
            )
    return rows


def _check_size(generator: FaceGenerator, records: LabelledRecords) -> None:
    size = None if records.dataset is None else records.dataset.manifest.image_size
    if size not in (None, generator.image_size):
        reference = named(records.source)
        raise DataError(
            f"The run draws {generator.image_size} pixels and the reference '{reference}' has {size}.",
            hint=f"Prepare the reference with --size {generator.image_size}.",
        )


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


def _plain(value: Any, metric: str) -> Any:
    """`value` made of what JSON has: numbers of torch and numpy become Python's, not finite ones None."""

    def unknown(item: Any) -> Any:
        if hasattr(item, "tolist"):  # tensors and arrays, scalars included
            return item.tolist()
        raise UsageError(
            f"The metric '{metric}' answers with a {type(item).__name__}, which a report cannot hold.",
            hint="compute() returns a dict of numbers, words, lists and dicts.",
        )

    return to_jsonable_python(value, inf_nan_mode="null", fallback=unknown)
