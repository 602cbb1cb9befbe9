"""`facegen eval classifier`: how far a classifier can be trusted, on real faces it never saw."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from facegen.errors import DataError, UsageError
from facegen.evaluation.options import ClassifierOptions
from facegen.evaluation.steps import Evaluation, finished
from facegen.formats.dataset import Dataset
from facegen.formats.far import named
from facegen.metrics.classification import Config, build
from facegen.models.classifier import FaceClassifier, load_classifier
from facegen.models.devices import resolve_device
from facegen.nn.multilabel_scores import mean_of
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.tasks.attribute_classification import label_targets

BATCH_IMAGES = 256


@dataclass(frozen=True, kw_only=True)
class ClassifierReport(Evaluation):
    """Scores by label (see `metrics.classification`), and means over those with enough faces.

    `means` has `auc`, `balanced_accuracy`, `accuracy`, `majority` and `calibration_error`, None if no label
    has enough faces; `num_scored` is over how many labels.
    """

    metric: str = "classifier"
    labels: dict[str, dict[str, Any]]
    means: dict[str, float | None]
    num_scored: int
    min_positives: int
    num_images: int
    splits: tuple[str, ...]
    classifier: str
    classifier_fingerprint: str
    dataset: str
    dataset_fingerprint: str
    remarks: tuple[str, ...]


def evaluate_classifier(
    classifier: Path | str,
    dataset: Path | str,
    options: ClassifierOptions | None = None,
    progress: Progress | None = None,
) -> ClassifierReport:
    """Score a classifier's calibrated answers about the labelled images of `dataset`.

    The report is kept in the classifier's `evaluations`.

    Raises:
        UsageError: a run of another kind, images of another size, or no splits.
        DataError: no such split, no images, or none of the classifier's labels in the data set.
        MissingModelError: the run has no checkpoint.
    """
    options, progress = options or ClassifierOptions(), progress or SilentProgress()
    started = time.monotonic()
    judge = load_classifier(Path(classifier), resolve_device(options.device))
    opened = Dataset.open(dataset)
    if not options.splits:
        raise UsageError("No splits were named.", hint=f"There are: {', '.join(opened.splits)}.")
    splits = [opened.split(name) for name in options.splits]
    count = sum(map(len, splits))
    if not count:
        raise DataError(f"'{opened.folder}' has no images in {', '.join(options.splits)}.")
    names, columns = _common_labels(judge, opened)
    metric = build(Config(), labels=names)
    with progress.stage("Judging real faces", total=count) as bar:
        for split in splits:
            targets = label_targets(split.frame, names, judge.class_column)
            for rows in torch.arange(len(split)).split(BATCH_IMAGES):
                images = split.images(rows)
                evidence, probabilities = judge.logits(images), judge.probabilities(images)
                metric.update(evidence[:, columns], probabilities[:, columns], targets[rows])
                bar.advance(len(rows))
    scores = metric.compute()
    enough = {name: entry for name, entry in scores.items() if entry["num_positive"] >= options.min_positives}
    keys = ("auc", "balanced_accuracy", "accuracy", "majority", "calibration_error")
    report = ClassifierReport(
        labels=scores,
        means={key: mean_of(enough, key) for key in keys},
        num_scored=len(enough),
        min_positives=options.min_positives,
        num_images=count,
        splits=options.splits,
        classifier=str(classifier),
        classifier_fingerprint=judge.fingerprint,
        dataset=named(opened.folder),
        dataset_fingerprint=opened.manifest.fingerprint,
        remarks=tuple(_remarks(options, judge)),
    )
    return finished(report, started, Path(classifier))


def _common_labels(judge: FaceClassifier, dataset: Dataset) -> tuple[tuple[str, ...], list[int]]:
    """Labels that both know, and the classifier's outputs for them."""
    labels, outputs = dataset.manifest.labels, judge.attributes
    names = tuple(name for name in outputs if name in labels.attributes)
    if judge.class_column is not None:
        outputs = judge.classes
        names = outputs if judge.class_column in labels.classes else ()
    if not names:
        raise DataError(
            f"'{dataset.folder}' has none of the labels that the classifier tells.",
            hint=f"It tells: {', '.join(outputs)}.",
        )
    return names, [outputs.index(name) for name in names]


def _remarks(options: ClassifierOptions, judge: FaceClassifier) -> list[str]:
    remarks = []
    if "train" in options.splits:
        remarks.append("It was trained on images like these if not on these; unseen ones tell more.")
    if "validation" in options.splits:
        remarks.append("The validation split chose its checkpoint and calibrated it; test tells more.")
    if not any("scale" in entry for entry in judge.held_out.values()):
        remarks.append("It was never calibrated; train it again to have that.")
    return remarks
