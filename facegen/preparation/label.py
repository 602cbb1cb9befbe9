"""`facegen label`: a data set whose labels are what a classifier trained by facegen sees in its images."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from facegen.config.kinds import kind_config, load_kind
from facegen.errors import DataError, UsageError, did_you_mean
from facegen.formats.dataset import MANIFEST_NAME, Dataset, DatasetManifest
from facegen.formats.dataset_writer import DatasetWriter, parquet_schema
from facegen.formats.plain import plain
from facegen.models.classifier import FaceClassifier, load_classifier
from facegen.models.devices import resolve_device
from facegen.preparation.options import LabelOptions
from facegen.preparation.parts import open_work, write_splits
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.types import LabelSchema
from facegen.vocabulary.captions import captions_for

BATCH_IMAGES = 256


@dataclass(frozen=True)
class LabelRow:
    """One attribute or class in numbers: `given` images have it (an attribute's yes are `num_yes`), in
    `unsure` ones the classifier was below the confidence. `agreement` is the share of given labels equal
    to what the data set said before, None where it said nothing. `held_out` is the classifier's own score:
    an attribute's accuracy or a class's recall."""

    label: str
    given: int
    num_yes: int | None
    unsure: int
    agreement: float | None
    held_out: float | None


@dataclass(frozen=True)
class LabelSummary:
    """What was made."""

    out: Path
    counts: dict[str, int]
    class_column: str | None
    labels: tuple[LabelRow, ...]
    left_out: int
    min_confidence: float
    classifier: str
    classifier_fingerprint: str
    classifier_accuracy: float | None
    notes: tuple[str, ...]
    fingerprint: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return plain(self)


@dataclass(frozen=True)
class _Answers:
    """What was seen in the images of one split: `confidence` and `value` (N, labels), `kept` (N,).

    `value` is 1 yes, 0 no, -1 unsure for attributes; the number of the class for a class column.
    """

    confidence: Tensor
    value: Tensor
    kept: Tensor


def label(
    dataset: Path | str,
    classifier: Path | str,
    out: Path | str,
    options: LabelOptions | None = None,
    progress: Progress | None = None,
) -> LabelSummary:
    """Write `dataset` anew at `out`, labelled by `classifier`; nothing stands there half-made.

    Labels of other names are kept; those the classifier tells are replaced, and captions are written anew.
    Each label gets a column `NAME_confidence`. Where the very same stands at `out`, it stays.

    Raises:
        UsageError: something else stands at `out`, an attribute it does not tell, images of another size.
        DataError: no data set there, or no image is labelled with that confidence.
        MissingModelError: the classifier has no checkpoint.
    """
    started = time.monotonic()
    options, progress = options or LabelOptions(), progress or SilentProgress()
    out = Path(os.path.abspath(out))
    if not 0 <= options.min_confidence <= 1:
        raise UsageError(f"--min-confidence is a probability of 0..1, not {options.min_confidence}.")
    source = Dataset.open(dataset)
    judge = load_classifier(Path(classifier), resolve_device(options.device))
    labelling = _Labelling(source, judge, _chosen(judge, options), options.min_confidence, str(classifier))
    standing = _standing(out, labelling.provenance())
    parquet_schema(*labelling.schema())  # refuses clashing names before any work
    answers = labelling.judge_images(progress)
    if not any(bool(one.kept.any()) for one in answers.values()):
        raise DataError(
            f"The classifier is nowhere as sure as {options.min_confidence:g}, so nothing is left.",
            hint="Ask for less with --min-confidence, or train it for longer.",
        )
    manifest = _written(labelling, answers, out, standing, progress)
    return LabelSummary(
        out=out,
        counts=manifest.counts,
        class_column=judge.class_column,
        labels=tuple(labelling.told(answers)),
        left_out=sum(int((~one.kept).sum()) for one in answers.values()),
        min_confidence=options.min_confidence,
        classifier=str(classifier),
        classifier_fingerprint=judge.fingerprint,
        classifier_accuracy=judge.accuracy,
        notes=manifest.notes,
        fingerprint=manifest.fingerprint,
        seconds=round(time.monotonic() - started, 3),
    )


def _written(
    labelling: _Labelling,
    answers: dict[str, _Answers],
    out: Path,
    standing: Dataset | None,
    progress: Progress,
) -> DatasetManifest:
    """Put the labelled data set at `out`, unless it is `standing` there."""
    with open_work(out) as work:
        shutil.rmtree(work.dataset, ignore_errors=True)
        try:
            manifest = labelling.write(work.dataset, answers, progress)
            if standing is None:
                work.publish(out)
                return manifest
        except BaseException:
            shutil.rmtree(work.dataset, ignore_errors=True)
            raise
        shutil.rmtree(work.folder)
    if standing.manifest.fingerprint != manifest.fingerprint:
        raise UsageError(
            f"'{out}' holds labels of another state of '{labelling.source.folder}'.",
            hint="Choose another --out.",
        )
    progress.say(f"'{out}' holds these labels already.")
    return manifest


def _standing(out: Path, provenance: dict[str, Any]) -> Dataset | None:
    """The data set at `out` if it was labelled like this; refuses anything else there."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if (out / MANIFEST_NAME).is_file():
        dataset = Dataset.open(out)
        if dataset.manifest.transform.get("labelled_by") == provenance:
            return dataset
    raise UsageError(f"'{out}' exists already.", hint="Choose another --out, or delete it first.")


def _chosen(judge: FaceClassifier, options: LabelOptions) -> tuple[str, ...]:
    """The attributes to tell, or the one class column."""
    if judge.class_column is not None:
        if options.attributes is not None:
            raise UsageError(
                f"--attributes is for classifiers of attributes; this one tells '{judge.class_column}'."
            )
        return (judge.class_column,)
    for name in options.attributes or ():
        if name not in judge.attributes:
            raise UsageError(
                f"The classifier does not tell '{name}'.{did_you_mean(name, judge.attributes)}",
                hint=f"It tells: {', '.join(judge.attributes)}.",
            )
    return options.attributes or judge.attributes


@dataclass(frozen=True)
class _Labelling:
    """A data set, the classifier that labels it, and the `names` of what it tells."""

    source: Dataset
    judge: FaceClassifier
    names: tuple[str, ...]
    min_confidence: float
    classifier: str

    def schema(self) -> tuple[LabelSchema, dict[str, str]]:
        """The labels and the further columns of the new data set."""
        old, column = self.source.manifest.labels, self.judge.class_column
        extras = {**self.source.manifest.extras, **{f"{name}_confidence": "float" for name in self.names}}
        if column is not None:
            return replace(old, classes={**old.classes, column: self.judge.classes}), extras
        new = tuple(name for name in self.names if name not in old.attributes)
        return replace(old, attributes=(*old.attributes, *new)), extras

    def judge_images(self, progress: Progress) -> dict[str, _Answers]:
        """The answers of each split."""
        answers: dict[str, _Answers] = {}
        with progress.stage("judging images", total=sum(self.source.manifest.counts.values())) as task:
            for split in self.source.splits:
                images = self.source.split(split)
                parts = []
                for rows in torch.arange(len(images)).split(BATCH_IMAGES):
                    parts.append(self.judge.probabilities(images.images(rows)))
                    task.advance(len(rows))
                answers[split] = self._answers(torch.cat(parts))
        return answers

    def _answers(self, probabilities: Tensor) -> _Answers:
        if self.judge.class_column is not None:
            # Not shared out among the classes: a face that no class claims has a low confidence in all.
            confidence, value = probabilities.max(1, keepdim=True)
            return _Answers(confidence, value, confidence[:, 0] >= self.min_confidence)
        probabilities = probabilities[:, [self.judge.attributes.index(name) for name in self.names]]
        confidence = torch.maximum(probabilities, 1 - probabilities)
        value = torch.where(confidence >= self.min_confidence, (probabilities > 0.5).long(), -1)
        return _Answers(confidence, value, torch.ones(len(probabilities), dtype=torch.bool))

    def provenance(self) -> dict[str, Any]:
        """What the new data set says of where its labels come from."""
        return {
            "classifier": Path(self.classifier).name,
            "weights_sha256": self.judge.fingerprint,
            "labels": list(self.names),
            "min_confidence": self.min_confidence,
            "held_out_accuracy": self.judge.accuracy,
        }

    def write(self, folder: Path, answers: dict[str, _Answers], progress: Progress) -> DatasetManifest:
        """Write the rows that are kept, with the new labels."""
        manifest, judge, provenance = self.source.manifest, self.judge, self.provenance()
        told = ", ".join(self.names) if len(self.names) <= 5 else f"{len(self.names)} attributes"
        right = f", right on {judge.accuracy:.1%} of held-out images" if judge.accuracy else ""
        note = (
            f"Labels of {told} are a model's opinion, not facts: given by the classifier with weights "
            f"{judge.fingerprint[:12]}{right}, where its confidence is {self.min_confidence:g} or more."
        )
        labels, extras = self.schema()
        writer = DatasetWriter(folder, labels, extras, {**manifest.transform, "labelled_by": provenance})
        files = list((self.source.folder / "data").glob("*.parquet"))
        bytes_each = sum(path.stat().st_size for path in files) / sum(manifest.counts.values())
        counts = {split: int(one.kept.sum()) for split, one in answers.items()}
        write_splits(writer, counts, partial(self._rows, answers, labels), bytes_each, progress)
        return writer.finish(
            rejects=list(self._rejects(answers)),
            kind=manifest.kind,
            image_size=manifest.image_size,
            source={**manifest.source, "labelled_by": provenance},
            notes=(*manifest.notes, note),
            versions=manifest.versions,
        )

    def _rows(
        self, answers: dict[str, _Answers], labels: LabelSchema, split: str
    ) -> Iterator[dict[str, Any]]:
        told, medium = answers[split], _medium(self.source.manifest.kind)
        old, by_number = self.source.manifest.labels.attributes, self.judge.classes
        for index, row in enumerate(self.source.split(split).rows()):
            if not told.kept[index]:
                continue
            row.update({name: None if row[name] is None else bool(row[name]) for name in old})
            for column, name in enumerate(self.names):
                value = int(told.value[index, column])
                row[name] = by_number[value] if by_number else None if value < 0 else bool(value)
                row[f"{name}_confidence"] = round(float(told.confidence[index, column]), 4)
            attributes = {name: row[name] for name in labels.attributes}
            classes = {name: row[name] for name in labels.classes}
            captions = captions_for(attributes, classes, row["id"], medium=medium)
            yield {**row, "image": row["image"]["bytes"], "caption": captions[0], "captions": captions}

    def _rejects(self, answers: dict[str, _Answers]) -> Iterator[tuple[str, str, str]]:
        for split, told in answers.items():
            ids = self.source.split(split).frame["id"].tolist()
            for index in torch.nonzero(~told.kept).flatten().tolist():
                guess = self.judge.classes[int(told.value[index, 0])]
                reason = f"low confidence: {guess} {float(told.confidence[index, 0]):.4f}"
                yield ids[index], f"{self.source.folder.name}/{split}/{ids[index]}", reason

    def told(self, answers: dict[str, _Answers]) -> Iterator[LabelRow]:
        """Each label in numbers."""
        judge, frame = self.judge, pd.concat([self.source.split(split).frame for split in answers])
        values = torch.cat([one.value for one in answers.values()])
        kept = torch.cat([one.kept for one in answers.values()])
        if judge.class_column is not None:
            told = [judge.classes[number] for number in values[:, 0].tolist()]
            for number, name in enumerate(judge.classes):
                of_class = values[:, 0] == number
                given, unsure = of_class & kept, int((of_class & ~kept).sum())
                recall = judge.held_out.get(name, {}).get("recall")
                same = _agreement(frame.get(judge.class_column), told, given)
                yield LabelRow(name, int(given.sum()), None, unsure, same, recall)
            return
        for name, value in zip(self.names, values.unbind(1), strict=True):
            given = value >= 0
            accuracy = judge.held_out.get(name, {}).get("accuracy")
            same = _agreement(frame.get(name), value.tolist(), given)
            num_yes, unsure = int((value == 1).sum()), int((~given).sum())
            yield LabelRow(name, int(given.sum()), num_yes, unsure, same, accuracy)


def _agreement(before: pd.Series | None, told: Sequence[Any], given: Tensor) -> float | None:
    """The share of given labels that are what the data set said before; None where it said nothing."""
    if before is None:
        return None
    pairs = zip(before, told, given.tolist(), strict=True)
    same = [old == new for old, new, here in pairs if here and not pd.isna(old)]
    return sum(same) / len(same) if same else None


def _medium(kind: str) -> str:
    """ "photo" or "cartoon", as the kind of data set says; a kind of one's own may not be importable here."""
    try:
        return load_kind("datasets", kind).build(kind_config("datasets", {"kind": kind})).medium
    except UsageError:
        return "photo"
