"""`facegen eval attributes`: how often what was asked for is what a classifier sees, beside what it sees
in real images with those very labels and in what the autoencoder makes of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from facegen.errors import DataError, UsageError
from facegen.evaluation.attribute_report import AttributeReport, attribute_table, weakest_attributes
from facegen.evaluation.kept_attributes import kept_attributes
from facegen.evaluation.options import AttributeOptions
from facegen.formats.files import atomic_write
from facegen.formats.images import image_grid, pil_to_png
from facegen.metrics.attributes import AttributeAgreement, Config, build
from facegen.models.classifier import FaceClassifier, load_classifier
from facegen.models.devices import resolve_device
from facegen.models.generator import FaceGenerator
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.sampling.records import (
    BATCH_IMAGES,
    LabelledRecords,
    drawn_rows,
    evaluation_path,
    generated_batches,
    generator_facts,
    real_images,
    reconstructions,
    request_records,
    requested_inputs,
    sampling_settings,
    save_report,
)
from facegen.sampling.request import read_request

if TYPE_CHECKING:
    import pandas as pd

GRID_COLUMNS = 8
CAPTION_LINES = 8


@dataclass(frozen=True)
class _Requests:
    """What is asked for, as the generator's inputs and as a frame; `records` where it was taken from."""

    inputs: Tensor
    frame: pd.DataFrame
    rows: Tensor | None = None
    records: LabelledRecords | None = None


def evaluate_attributes(
    run: Path | str,
    classifier: Path | str,
    options: AttributeOptions | None = None,
    progress: Progress | None = None,
) -> AttributeReport:
    """Draw faces for label rows of held-out records, or for one fixed request, and count what came true.

    A model of pictures is asked with the records' pictures; their labels are what should come true, and the
    report says how often that would happen by chance.

    Writes the report to `RUN/evaluations/attributes-*.json` and a grid beside it.

    Raises:
        UsageError: another image size than the classifier's, an unknown attribute, a run of another kind.
        DataError: no label rows, or none of their attributes is known to the classifier.
        MissingModelError: no checkpoint in the run or the classifier.
    """
    options, progress = options or AttributeOptions(), progress or SilentProgress()
    started = time.monotonic()
    run, judge_path = Path(run), Path(classifier)
    if options.num_samples < 1:
        raise UsageError(f"{options.num_samples} samples; at least 1 is needed.")
    device = resolve_device(options.device)
    generator = FaceGenerator.load(run, device)
    judge = load_classifier(judge_path, device)
    _check_fit(generator, judge, judge_path)
    settings = sampling_settings(generator, guidance=options.guidance, steps=options.steps)
    requests = _requests(generator, judge, options, progress)
    images, seen, generated = _judge_generated(generator, judge, requests, settings, options, progress)
    real, reconstructed = _judge_records(generator, judge, requests, progress)
    table = attribute_table(generated, real, reconstructed, judge.held_out)
    accuracies = [row["classifier_accuracy"] for row in table.values()]
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    report = AttributeReport(
        num_samples=options.num_samples,
        request=options.attributes,
        generated=generated,
        real=real,
        reconstructed=reconstructed,
        attributes=table,
        weakest=weakest_attributes(table, min_asked=options.min_asked),
        classifier=str(judge_path),
        classifier_accuracy=sum(known) / len(known) if known else None,
        classifier_fingerprint=judge.fingerprint,
        run=str(run),
        data=None if requests.records is None else str(requests.records.source),
        settings=generator_facts(generator, settings, options.seed),
        seconds=round(time.monotonic() - started, 2),
        kept=_kept(judge, requests.frame, seen) if generator.takes_pictures else None,
        grid=_write_grid(run, images, seen, requests.frame, judge.attributes),
    )
    return replace(report, saved_to=save_report(run, "attributes", report.to_json()))


def _check_fit(generator: FaceGenerator, judge: FaceClassifier, path: Path) -> None:
    if generator.image_size != judge.image_size:
        raise UsageError(
            f"The classifier '{path}' was trained on {judge.image_size} pixels, and this run draws "
            f"{generator.image_size}.",
            hint=f"Train a classifier on a data set prepared with --size {generator.image_size}.",
        )


def _requests(
    generator: FaceGenerator, judge: FaceClassifier, options: AttributeOptions, progress: Progress
) -> _Requests:
    if options.attributes is not None:
        return _fixed_requests(generator, judge, options, progress)
    records = request_records(generator, options.data, options.split)
    if len(records.frame) == 0:
        raise DataError(f"Split '{options.split}' of '{records.source}' is empty.")
    rows = drawn_rows(len(records.frame), options.num_samples, options.seed)
    frame = records.frame.iloc[rows.tolist()].reset_index(drop=True)
    # A picture shows more than the labels that the run's own data happen to have.
    known = judge.attributes if generator.takes_pictures else generator.labels.attributes
    asked = [name for name in known if name in frame.columns]
    if not set(asked) & set(judge.attributes):
        raise DataError(
            f"The classifier knows none of the attributes of '{records.source}'.",
            hint=f"It knows: {', '.join(judge.attributes)}.",
        )
    return _Requests(requested_inputs(generator, records, rows), frame[asked], rows, records)


def _fixed_requests(
    generator: FaceGenerator, judge: FaceClassifier, options: AttributeOptions, progress: Progress
) -> _Requests:
    import pandas as pd

    reading = read_request(generator, progress, attributes=options.attributes)
    unknown = [name for name in reading.labels if name not in judge.attributes]
    if unknown:
        raise UsageError(
            f"The classifier cannot tell {', '.join(unknown)}.",
            hint=f"It knows: {', '.join(judge.attributes)}.",
        )
    halves = [name for name, value in reading.labels.items() if value not in (-1, 1)]
    if halves:
        raise UsageError(f"To be counted, {', '.join(halves)} must be asked for with 1 or 0.")
    wanted = {name: int(value > 0) for name, value in reading.labels.items()}
    frame = pd.DataFrame([wanted] * options.num_samples).astype("Int8")
    return _Requests(generator.inputs_for(reading, options.num_samples), frame)


def _judge_generated(
    generator: FaceGenerator,
    judge: FaceClassifier,
    requests: _Requests,
    settings: Any,
    options: AttributeOptions,
    progress: Progress,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """The first images for the grid, what was seen in all (N, A), and how it agrees with the requests."""
    metric = _metric(judge)
    kept, seen = [torch.empty(0, 3, judge.image_size, judge.image_size).byte()], []
    with progress.stage("Drawing and judging faces", total=options.num_samples) as bar:
        batches = generated_batches(generator, requests.inputs, settings, seed=options.seed)
        for rows, images in batches:
            answers = metric.update(images, requests.frame.iloc[rows])
            if rows.start < options.grid_images:
                kept.append(images)
            seen.append(torch.from_numpy(answers))
            bar.advance(len(images))
    return torch.cat(kept)[: options.grid_images], torch.cat(seen), metric.compute()


def _judge_records(
    generator: FaceGenerator, judge: FaceClassifier, requests: _Requests, progress: Progress
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Agreement of the records' own images with their labels, and of those after the autoencoder."""
    records = requests.records
    if records is None or requests.rows is None:
        return None, None

    def of(title: str, images_of: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        metric, start = _metric(judge), 0
        assert requests.rows is not None
        with progress.stage(title, total=len(requests.rows)) as bar:
            for rows in requests.rows.split(BATCH_IMAGES):
                metric.update(images_of(rows), requests.frame.iloc[start : start + len(rows)])
                start += len(rows)
                bar.advance(len(rows))
        return metric.compute()

    dataset = records.dataset
    real = None
    if dataset is not None and dataset.manifest.image_size == judge.image_size:
        real = of("Judging the real images", lambda rows: real_images(records, rows))
    after = of("Judging reconstructions", lambda rows: reconstructions(generator, records, rows))
    return real, after


def _kept(judge: FaceClassifier, labels: pd.DataFrame, seen: Tensor) -> dict[str, dict[str, Any]]:
    """How often samples keep the labels of the pictures they were asked with, beside chance."""
    names = [name for name in judge.attributes if name in labels.columns]
    columns = [judge.attributes.index(name) for name in names]
    values = labels[names].astype("Float64").to_numpy(float, na_value=float("nan"))
    return kept_attributes(values, seen[:, columns].numpy(), names)


def _metric(judge: FaceClassifier) -> AttributeAgreement:
    return build(Config(), logits=judge.logits, attributes=judge.attributes)


def _caption(asked: dict[str, bool], seen: dict[str, bool]) -> str:
    """What was asked to be there, missed or not; of a long request how much is right, and what is not."""
    wrong = {
        name: "missed: " if value else "unwanted: " for name, value in asked.items() if seen[name] != value
    }
    wishes = [wrong.get(name, "") + name for name, value in asked.items() if value]
    lines = wishes + [f"unwanted: {name}" for name in wrong if not asked[name]]
    if len(lines) > CAPTION_LINES:
        faults = [mark + name for name, mark in wrong.items()]
        most = CAPTION_LINES - 2 if len(faults) > CAPTION_LINES - 1 else CAPTION_LINES - 1
        lines = [f"{len(asked) - len(wrong)} of {len(asked)} right", *faults[:most]]
        lines += [f"and {len(faults) - most} more"] if len(faults) > most else []
    return "\n".join(line.replace("_", " ") for line in lines) or "nothing asked"


def _write_grid(
    run: Path, images: Tensor, seen: Tensor, asked: pd.DataFrame, attributes: tuple[str, ...]
) -> Path | None:
    """A picture of the first requests: what was asked to be there, and what was missed or not wanted."""
    if len(images) == 0:
        return None
    captions = []
    shown = asked.iloc[: len(images)].fillna(-1)
    for row, answers in zip(shown.to_dict("records"), seen[: len(images)].tolist(), strict=True):
        told = {name: bool(answer) for name, answer in zip(attributes, answers, strict=True)}
        judged = {str(name): value == 1 for name, value in row.items() if name in told and value in (0, 1)}
        captions.append(_caption(judged, told))
    grid = image_grid(images, GRID_COLUMNS, captions, scale=max(1, 128 // images.shape[-1]))
    path = evaluation_path(run, "attributes", "png")
    atomic_write(path, pil_to_png(grid))
    return path
