"""`facegen eval edit`: switch attributes of held-out faces, and see what came true and what else changed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facegen.config.recipe import SamplingConfig
from facegen.errors import UsageError, did_you_mean
from facegen.evaluation.edit_faces import faces_to_switch, photo_records, switching_requests
from facegen.evaluation.edit_matrix import EDIT, SDEDIT, EditRow, Looks, beside_sdedit, edit_counts, edit_row
from facegen.evaluation.edit_scores import Switch, edit_scores
from facegen.evaluation.options import EditEvaluationOptions
from facegen.evaluation.steps import (
    Evaluation,
    captioned,
    evaluation_path,
    finished,
    generator_facts,
    save_picture,
)
from facegen.evaluation.toggles import askable
from facegen.formats.far import named
from facegen.formats.influences import pairing_of
from facegen.formats.reports import ScoreRow
from facegen.metrics import Share, pooled_share
from facegen.models.editing import EditablePhotos, editable, steps_of
from facegen.models.generator import FaceGenerator
from facegen.models.loading import load
from facegen.models.noise import noise_source
from facegen.progress import SilentProgress
from facegen.protocols import Progress, ProgressTask
from facegen.sampling.edit_changes import Judges, open_judges
from facegen.sampling.edit_request import check_editable
from facegen.sampling.records import (
    LabelledRecords,
    real_images,
    sampling_settings,
)
from facegen.types import PromptReading

FEWEST_FACES = 30  # below, the intervals are wider than most differences


@dataclass(frozen=True, kw_only=True)
class EditReport(Evaluation):
    """What editing held-out faces does, by attribute, method and strength.

    `rows` are those of `edit_matrix.edit_row`. `reconstructed` is the same of the faces after the autoencoder
    alone, whose `leakage` counts every answer. `psnr` is in dB: of the autoencoder alone, of latents asked
    for nothing at the greatest strength (`nothing`), and of the picture then (`nothing_finished`, None where
    it is the photo itself).
    """

    metric: str = "edit"
    scores: dict[str, ScoreRow]
    fingerprint: dict[str, Any]
    num_samples: int
    rows: tuple[EditRow, ...]
    reconstructed: dict[str, Any]
    psnr: dict[str, float | None]
    distance_name: str | None
    features_name: str | None
    remarks: tuple[str, ...]
    classifier: str
    classifier_fingerprint: str
    run: str
    data: str
    split: str
    settings: dict[str, Any]
    grid: Path | None = None


@dataclass(frozen=True)
class _Bench:
    """Who edits and judges how, and of which records."""

    generator: FaceGenerator
    judges: Judges
    answers: tuple[str, ...]
    names: tuple[str, ...]
    records: LabelledRecords
    settings: SamplingConfig
    options: EditEvaluationOptions

    @property
    def variants(self) -> list[tuple[str, float]]:
        """Method and strength of every picture that is made of a face."""
        options = self.options
        return [*((EDIT, s) for s in options.strength), *((SDEDIT, s) for s in options.sdedit)]

    @property
    def num_steps(self) -> int:
        """Steps of a walk down, of all variants together."""
        return sum(steps_of(strength, self.settings.steps) for _, strength in self.variants)


@dataclass
class _Switched:
    """What became of the faces in which one attribute was switched, filled batch by batch."""

    plain: Looks = field(default_factory=Looks)
    variants: dict[tuple[str, float], Looks] = field(default_factory=dict[tuple[str, float], Looks])
    psnr: dict[str, list[Tensor]] = field(
        default_factory=lambda: {"autoencoder": [], "nothing": [], "nothing_finished": []}
    )
    photo_answers: list[Tensor] = field(default_factory=list[Tensor])
    shown: list[Tensor] = field(default_factory=list[Tensor])


def evaluate_edit(
    run: Path | str,
    classifier: Path | str,
    options: EditEvaluationOptions | None = None,
    progress: Progress | None = None,
) -> EditReport:
    """Switch attributes of held-out faces at several strengths, beside SDEdit, and judge what became of them.

    A face is told to show its own labels and asked for them with one switched. Writes the report to
    `RUN/evaluations/edit-*.json` and a picture beside it.

    Raises:
        UsageError: a run without attributes, or an attribute that it, the classifier or the data do not know.
        DataError: no photos, photos of another size, or too few of them.
        MissingModelError: no checkpoint in the run or the classifier, or a judge's weights are not to be had.
    """
    options, progress = options or EditEvaluationOptions(), progress or SilentProgress()
    started, run = time.monotonic(), Path(run)
    bench = _bench(run, Path(classifier), options, progress)
    rows, tiles, captions, switched = list[EditRow](), list[Tensor](), list[str](), list[_Switched]()
    switches, requests = list[Switch](), list[Any]()
    chosen = {
        name: faces_to_switch(bench.records, name, options.num_samples, options.seed)
        for name in options.attributes
    }
    walks = sum(map(len, chosen.values())) * (
        bench.num_steps + steps_of(max(options.strength), bench.settings.steps)
    )
    with progress.stage("Editing and judging faces", total=walks) as bar:
        for name, numbers in chosen.items():
            told, asked = switching_requests(bench.records, bench.names, name, numbers)
            found = _switch(bench, numbers, told, asked, bar)
            switched.append(found)
            rows += _rows(bench, name, told, asked, found)
            switches += _switches(bench, name, numbers, told, asked, found)
            requests.append((numbers, told, asked))
            tiles += found.shown
            captions += _captions(bench, name, asked, len(found.shown))
    reconstructed, fingerprint = _reconstructed(switched), _fingerprint(bench)
    pairing = pairing_of({**fingerprint, "requests": requests})
    scores, influences = edit_scores(switches, _judged_by(bench.judges), reconstructed, pairing)
    report = EditReport(
        scores=scores,
        fingerprint=fingerprint,
        num_samples=options.num_samples,
        rows=beside_sdedit(rows),
        reconstructed=reconstructed,
        psnr={name: _psnr(switched, name) for name in switched[0].psnr},
        distance_name=bench.judges.distance.name if bench.judges.distance else None,
        features_name=bench.judges.features.name if bench.judges.features else None,
        remarks=tuple(_remarks(options, chosen)),
        classifier=str(classifier),
        classifier_fingerprint=fingerprint["classifier"],
        run=named(run),
        data=named(bench.records.source),
        split=options.split,
        settings={
            **generator_facts(bench.generator, bench.settings, options.seed),
            "sampler": {"kind": "edit"},
        },
        grid=_write_grid(run, tiles, captions, 2 + len(bench.variants)),
    )
    return finished(report, started, run, influences=influences)


def _fingerprint(bench: _Bench) -> dict[str, Any]:
    """What two reports share that can be compared."""
    assert bench.judges.classifier is not None
    return {
        "classifier": bench.judges.classifier.fingerprint,
        "image_size": bench.generator.image_size,
        "data": bench.records.dataset_fingerprint,
        "split": bench.options.split,
    }


def _judged_by(judges: Judges) -> dict[str, str]:
    told = {"distance": judges.distance, "features": judges.features}
    return {name: judge.fingerprint for name, judge in told.items() if judge is not None}


def _bench(run: Path, classifier: Path, options: EditEvaluationOptions, progress: Progress) -> _Bench:
    generator = load(run, options.device)
    check_editable(generator)
    judges = open_judges(generator, classifier, options.distance, options.features, progress)
    assert judges.classifier is not None
    if not generator.attributes or judges.classifier.classes:
        raise UsageError(
            "'eval edit' switches attributes, and "
            + ("the classifier tells a class." if generator.attributes else f"'{run}' has none."),
            hint="Give a run of --preset celeba-attributes, a classifier of --preset attribute-classifier.",
        )
    asked = askable(generator, judges.classifier, run)
    records = photo_records(generator, options)
    settings = sampling_settings(generator, guidance=options.guidance, steps=options.steps)
    both = [name for name in asked.names if name in asked.known]
    for name in options.attributes:
        if name not in both or name not in records.frame.columns:
            who = "run cannot be asked for" if name not in asked.names else "classifier cannot tell"
            who = who if name not in both else "data do not label"
            raise UsageError(
                f"The {who} '{name}'.{did_you_mean(name, both)}", hint=f"All know: {', '.join(both)}."
            )
    return _Bench(generator, judges, asked.known, asked.names, records, settings, options)


def _switch(
    bench: _Bench,
    numbers: list[int],
    told: list[dict[str, float]],
    asked: list[dict[str, float]],
    bar: ProgressTask,
) -> _Switched:
    found = _Switched(variants={variant: Looks() for variant in bench.variants})
    size = bench.options.batch_size
    for start in range(0, len(numbers), size):
        part = slice(start, start + size)
        images = real_images(bench.records, torch.tensor(numbers[part]))
        was, wanted = (_inputs(bench.generator, labels[part]) for labels in (told, asked))
        strongest = max(bench.options.strength)
        photos = editable(bench.generator, images, was, bench.settings, strongest)
        nothing = _last(photos.redrawn(was, strongest), bar, len(images))
        for key, image in (
            ("autoencoder", photos.plain),
            ("nothing", bench.generator.decode(nothing)),
            ("nothing_finished", photos.finished(nothing)),
        ):
            found.psnr[key].append((image.float() - images.float()).square().flatten(1).mean(1))
        assert bench.judges.classifier is not None
        found.photo_answers.append(bench.judges.classifier.logits(images) > 0)
        found.plain.add(photos.plain, images, bench.judges)
        drawn = {
            variant: _drawn(photos, variant, wanted, numbers[part], bench.options.seed, bar)
            for variant in bench.variants
        }
        for variant, edited in drawn.items():
            found.variants[variant].add(edited, images, bench.judges)
        for i in range(min(len(images), bench.options.grid_faces - len(found.shown))):
            found.shown.append(
                torch.stack([images[i], photos.plain[i], *(each[i] for each in drawn.values())])
            )
    return found


def _drawn(
    photos: EditablePhotos,
    variant: tuple[str, float],
    wanted: Tensor,
    numbers: list[int],
    seed: int,
    bar: ProgressTask,
) -> Tensor:
    """Finished pictures, uint8 (B, 3, H, W), of one method and strength."""
    method, strength = variant
    if method == EDIT:
        steps = photos.redrawn(wanted, strength)
    else:
        generator = photos.generator
        noise = [noise_source(seed + number, generator.sample_spec.shape)() for number in numbers]
        steps = photos.renoised(wanted, strength, torch.stack(noise).to(generator.device))
    return photos.finished(_last(steps, bar, len(wanted)))


def _last(steps: Iterator[Any], bar: ProgressTask, count: int) -> Tensor:
    """The sample that a walk leads to."""
    x0 = None
    for step in steps:
        bar.advance(count)
        x0 = step.x0
    assert x0 is not None
    return x0


def _inputs(generator: FaceGenerator, labels: list[dict[str, float]]) -> Tensor:
    return torch.cat([generator.inputs_for(PromptReading(one)) for one in labels])


def _rows(
    bench: _Bench,
    name: str,
    told: list[dict[str, float]],
    asked: list[dict[str, float]],
    found: _Switched,
) -> Iterator[EditRow]:
    about = _asked_of(bench, name, told, asked)
    for (method, strength), looks in found.variants.items():
        yield edit_row(name, method, strength, *about, found.plain.seen, looks)


def _switches(
    bench: _Bench,
    name: str,
    numbers: list[int],
    told: list[dict[str, float]],
    asked: list[dict[str, float]],
    found: _Switched,
) -> Iterator[Switch]:
    """The same face by face, of the edit alone."""
    about = _asked_of(bench, name, told, asked)
    for (method, strength), looks in found.variants.items():
        if method == EDIT:
            yield Switch(name, strength, numbers, edit_counts(*about, found.plain.seen, looks))


def _asked_of(
    bench: _Bench, name: str, told: list[dict[str, float]], asked: list[dict[str, float]]
) -> tuple[int, np.ndarray, np.ndarray]:
    """The column of the answer that is switched, what is wanted of it (N,), and which answers were asked the
    same before and after (N, C)."""

    def matrix(labels: list[dict[str, float]]) -> np.ndarray:
        return np.array([[one.get(answer, 0.0) for answer in bench.answers] for one in labels])

    before, after, column = matrix(told), matrix(asked), bench.answers.index(name)
    return column, after[:, column] > 0, before == after


def _reconstructed(switched: list[_Switched]) -> dict[str, Any]:
    """How far the autoencoder alone goes, and how many answers change with it."""
    everything = Looks()
    for one in switched:
        for name in ("answers", "pixels", "distance", "features"):
            getattr(everything, name).extend(getattr(one.plain, name))
    photos = torch.cat([part for one in switched for part in one.photo_answers]).numpy()
    changed = photos != everything.seen
    leakage: Share = pooled_share(changed.sum(1), np.full(len(changed), changed.shape[1]))
    return {"leakage": leakage, **everything.means}


def _psnr(switched: list[_Switched], name: str) -> float | None:
    """Mean in dB over faces, of those that differ at all; None where none does."""
    squared = torch.cat([part for one in switched for part in one.psnr[name]])
    squared = squared[squared > 0]
    return float((10 * torch.log10(255**2 / squared)).mean()) if len(squared) else None


def _captions(bench: _Bench, name: str, asked: list[dict[str, float]], count: int) -> list[str]:
    captions = []
    for one in asked[:count]:
        words = f"{'' if one[name] > 0 else 'no '}{name.replace('_', ' ')}"
        captions += ["photo", "autoencoder", *(f"{words}\n{m} {s:g}" for m, s in bench.variants)]
    return captions


def _write_grid(run: Path, tiles: list[Tensor], captions: list[str], columns: int) -> Path | None:
    if not tiles:
        return None
    grid = captioned(torch.cat(tiles), columns, captions)
    return save_picture(evaluation_path(run, "edit", "png"), grid)


def _remarks(options: EditEvaluationOptions, chosen: Mapping[str, list[int]]) -> Iterator[str]:
    few = [
        f"{name} ({len(numbers)})" for name, numbers in chosen.items() if len(numbers) < options.num_samples
    ]
    if few:
        yield f"The split has fewer faces than asked for: {', '.join(few)}."
    if options.num_samples < FEWEST_FACES:
        yield f"{options.num_samples} faces an attribute say little: ask for more with --num-samples."
    if options.split == "train":
        yield "These faces may be those that the run was trained on; unseen ones tell more."
