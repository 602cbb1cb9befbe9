"""`facegen eval attributes`: how often what was asked for is what a classifier sees, beside what it sees
in real images with those very labels and in what the autoencoder makes of them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from facegen.errors import DataError, UsageError
from facegen.evaluation.colours import ColoursSeen
from facegen.evaluation.options import AttributeOptions
from facegen.evaluation.score_rows import drawn_pairing, score_row
from facegen.evaluation.steps import (
    Evaluation,
    asked_records,
    captioned,
    evaluation_path,
    finished,
    generator_facts,
    open_judge,
    open_run,
    passing,
    save_picture,
)
from facegen.formats.far import named
from facegen.formats.influences import Influence, Influences
from facegen.formats.reports import ScoreRow
from facegen.metrics import Shift, colour_remark
from facegen.metrics.attributes import Agreement, AttributeAgreement, Config, kept_attributes, labels_of
from facegen.models.classifier import FaceClassifier
from facegen.models.generator import FaceGenerator
from facegen.nn.multilabel_scores import mean_known
from facegen.processes import world
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.sampling.records import (
    BATCH_IMAGES,
    LabelledRecords,
    generated_batches,
    real_images,
    reconstructions,
    requested_inputs,
)
from facegen.sampling.request import read_request

if TYPE_CHECKING:
    import pandas as pd

GRID_COLUMNS = 8
CAPTION_LINES = 8
NUM_WEAKEST = 5


@dataclass(frozen=True, kw_only=True)
class AttributeReport(Evaluation):
    """How often asked-for attributes came true, as a classifier sees it.

    `generated`, `real` and `reconstructed` are results of `metrics.attributes` for the generated images,
    for the real images that the requests were taken from, and for those after the run's autoencoder; the
    last two are None where there are no such images. `weakest` names the attributes present least often when
    asked for, among the ones asked for at least `min_asked` times. `kept` is, of models asked with pictures,
    how often each attribute of the picture came back, beside chance (`metrics.attributes.kept_attributes`).
    `colour` is how the drawn images' colours are shifted against those of the real ones.

    A row of `attributes` takes what was asked for as the truth: `asked_yes` and `asked_no` (see `Rate`),
    `accuracy`, the share of right answers both ways, `recall`, of the faces asked to have it those that have
    it, `precision`, of the faces that have it those asked to. Where the requests came from real images,
    `*_on_real` is the same of these: the classifier's own error, which no generator can be expected to beat.
    `classifier_accuracy` is what it gets right of held-out faces. None where nothing was asked or seen.
    """

    metric: str = "attributes"
    num_samples: int
    scores: dict[str, ScoreRow]
    fingerprint: dict[str, Any]
    request: str | None
    generated: Agreement
    real: Agreement | None
    reconstructed: Agreement | None
    attributes: dict[str, dict[str, Any]]
    weakest: tuple[str, ...]
    classifier: str
    classifier_accuracy: float | None
    classifier_fingerprint: str
    run: str
    data: str | None
    settings: dict[str, Any]
    kept: dict[str, dict[str, float]] | None = None
    grid: Path | None = None
    colour: dict[str, Shift] | None = None
    remarks: tuple[str, ...] = ()

    @property
    def share_all(self) -> float:
        """Share of everything asked for that came true."""
        return self.generated["all"]["share"]

    @property
    def share_present(self) -> float | None:
        """Share of the attributes asked to be present that came true; None if none was."""
        present = self.generated["present"]
        return None if present is None else present["share"]

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**super().to_json(), "share_all": self.share_all, "share_present": self.share_present}


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
    started, run = time.monotonic(), Path(run)
    generator, settings = open_run(run, options)
    judge = open_judge(Path(classifier), generator)
    inputs, frame, taken = _requests(generator, judge, options, progress)

    influences: dict[str, Influence] = {}
    colours: list[ColoursSeen] = []

    def judged(title: str, parts: Iterable[Tensor], keep: int = 0) -> tuple[Agreement, np.ndarray, Tensor]:
        """How answers agree with requests, the answers (N, A), and the first `keep` images."""
        metric = AttributeAgreement(Config(), logits=judge.logits, attributes=judge.attributes)
        looked = ColoursSeen()
        seen, kept = [], [torch.empty(0, 3, judge.image_size, judge.image_size).byte()]
        for images, asked in passing(looked.of(parts), frame, title, progress):
            seen.append(metric.update(images, asked))
            if (missing := keep - sum(map(len, kept))) > 0:
                kept.append(images[:missing])
        colours.append(looked)
        agreement = metric.compute()
        if not influences:  # of what is judged first, the drawn faces
            influences.update(metric.influences())
        return agreement, np.concatenate(seen), torch.cat(kept)

    drawn = generated_batches(generator, inputs, settings, seed=options.seed)
    faces = (images for _, images in drawn)
    generated, seen, shown = judged("Drawing and judging faces", faces, options.grid_images)
    real = reconstructed = shifts = None
    if taken is not None:
        records, rows = taken
        batches = rows.split(BATCH_IMAGES)
        dataset = records.dataset
        if dataset is not None and dataset.manifest.image_size == judge.image_size:
            real, _, _ = judged("Judging the real images", (real_images(records, part) for part in batches))
        if real is not None:
            shifts = colours[0].beside(colours[1])
        after = world().divided(batches, lambda part: reconstructions(generator, records, part))
        reconstructed, _, _ = judged("Judging reconstructions", after)
    table = _table(generated, real, reconstructed, judge.held_out)
    report = AttributeReport(
        num_samples=options.num_samples,
        scores=_scores(generated, real),
        fingerprint={
            "classifier": judge.fingerprint,
            "image_size": judge.image_size,
            "request": options.attributes,
            "data": None if taken is None else taken[0].dataset_fingerprint,
            "split": None if taken is None else options.split,
        },
        request=options.attributes,
        generated=generated,
        real=real,
        reconstructed=reconstructed,
        attributes=table,
        weakest=_weakest(table, max(1, options.min_asked)),
        classifier=str(classifier),
        classifier_accuracy=mean_known([row["classifier_accuracy"] for row in table.values()]),
        classifier_fingerprint=judge.fingerprint,
        run=named(run),
        data=None if taken is None else named(taken[0].source),
        settings=generator_facts(generator, settings, options.seed),
        kept=_kept(judge, frame, seen) if generator.takes_pictures else None,
        colour=shifts,
        remarks=tuple(filter(None, [colour_remark(shifts or {})])),
        grid=_write_grid(run, shown, seen, frame, judge.attributes),
    )
    pairing = drawn_pairing(frame.to_json(), options.seed)
    return finished(report, started, run, influences=Influences(influences, pairing))


SHARES: dict[Literal["all", "present", "absent", "whole_request"], str] = {
    "all": "the share of everything asked for that comes true",
    "present": "the share of what is asked to be there that is",
    "absent": "the share of what is asked to be absent that is",
    "whole_request": "the share of requests of which everything comes true",
}


def _scores(generated: Agreement, real: Agreement | None) -> dict[str, ScoreRow]:
    """The shares as scores that compare; their ceiling is what the classifier sees in real images."""
    rows: dict[str, ScoreRow] = {}
    for name, told in SHARES.items():
        share, most = generated[name], None if real is None else real[name]
        if share is not None:
            ceiling = None if most is None else most["share"]
            rows[name] = score_row("attributes", share["share"], share, "higher", told, ceiling=ceiling)
    return rows


_Requests: TypeAlias = "tuple[Tensor, pd.DataFrame, tuple[LabelledRecords, Tensor] | None]"
"""What is asked for, as the generator's inputs and as a frame, and the rows of records it was taken from."""


def _requests(
    generator: FaceGenerator, judge: FaceClassifier, options: AttributeOptions, progress: Progress
) -> _Requests:
    if options.attributes is not None:
        return _fixed_requests(generator, judge, options, progress)
    records, rows, frame = asked_records(
        generator, options.data, options.split, options.num_samples, options.seed
    )
    # A picture shows more than the labels that the run's own data happen to have.
    known = judge.attributes if generator.takes_pictures else generator.labels.attributes
    asked = [name for name in known if name in frame.columns]
    if not set(asked) & set(judge.attributes):
        raise DataError(
            f"The classifier knows none of the attributes of '{named(records.source)}'.",
            hint=f"It knows: {', '.join(judge.attributes)}.",
        )
    return requested_inputs(generator, records, rows), frame.loc[:, asked], (records, rows)


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
    return generator.inputs_for(reading, options.num_samples), frame, None


def _table(
    generated: Agreement, real: Agreement | None, reconstructed: Agreement | None, held_out: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Each asked-for attribute with its hit rates, and what the classifier gets right elsewhere."""
    return {
        name: {
            **ways,
            **_rates(generated, name),
            **_rates(real, name, "_on_real"),
            "accuracy_on_reconstructions": _rates(reconstructed, name)["accuracy"],
            "classifier_accuracy": held_out.get(name, {}).get("accuracy"),
        }
        for name, ways in generated["attributes"].items()
    }


def _rates(result: Agreement | None, name: str, of: str = "") -> dict[str, float | None]:
    """Accuracy, precision (where it was asked either way) and recall of one attribute."""
    keys = (f"accuracy{of}", f"precision{of}", f"recall{of}")
    if result is None or name not in result["attributes"]:
        return dict.fromkeys(keys)
    yes, no = (result["attributes"][name][way] for way in ("asked_yes", "asked_no"))
    hits, rejections = (round((way["hit_rate"] or 0.0) * way["num_asked"]) for way in (yes, no))
    shown = hits + no["num_asked"] - rejections
    accuracy = (hits + rejections) / (yes["num_asked"] + no["num_asked"])
    return dict(zip(keys, (accuracy, hits / shown if shown else None, yes["hit_rate"]), strict=True))


def _weakest(table: dict[str, dict[str, Any]], min_asked: int) -> tuple[str, ...]:
    """The attributes that came true least often when asked for at least `min_asked` times."""
    often = {
        name: row["asked_yes"]["hit_rate"] or 0.0
        for name, row in table.items()
        if row["asked_yes"]["num_asked"] >= min_asked
    }
    return tuple(sorted(often, key=lambda name: often[name])[:NUM_WEAKEST])


def _kept(judge: FaceClassifier, labels: pd.DataFrame, seen: np.ndarray) -> dict[str, dict[str, float]]:
    """How often samples keep the labels of the pictures they were asked with, beside chance."""
    names = [name for name in judge.attributes if name in labels.columns]
    columns = [judge.attributes.index(name) for name in names]
    return kept_attributes(labels_of(labels, names), seen[:, columns], names)


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
    run: Path, images: Tensor, seen: np.ndarray, asked: pd.DataFrame, attributes: tuple[str, ...]
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
    grid = captioned(images, GRID_COLUMNS, captions, pixels=128)
    return save_picture(evaluation_path(run, "attributes", "png"), grid)
