"""`facegen eval control`: toggle one wish of a request, at the same noise, and see what else changes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facegen.errors import DataError, UsageError, did_you_mean
from facegen.evaluation.control_heat_map import control_heat_map_png
from facegen.evaluation.control_matrix import (
    ControlMatrix,
    classifier_limits,
    control_matrix,
    control_scores,
    mean_known,
)
from facegen.evaluation.control_requests import Askable, askable
from facegen.evaluation.distribution_report import ScoreRow
from facegen.evaluation.options import Base, ControlOptions
from facegen.evaluation.toggles import class_toggle, toggle_requests
from facegen.formats.files import atomic_write
from facegen.formats.images import image_grid, pil_to_png
from facegen.formats.reports import report_json
from facegen.models.classifier import FaceClassifier, load_classifier
from facegen.models.devices import resolve_device
from facegen.models.generator import FaceGenerator
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.sampling.records import (
    drawn_rows,
    evaluation_path,
    generator_facts,
    request_records,
    sampling_settings,
    save_report,
)

FEWEST_PAIRS = 30  # below, the intervals are wider than most differences


@dataclass(frozen=True)
class ControlReport:
    """The control matrix with what it takes to read it.

    `rows`, `hit` and `leakage` are those of `evaluation.control.control_matrix`; `hit_chance` and
    `leakage_chance` the means over rows and cells of what redrawing every face would give.
    `classifier_limits` says by attribute what the classifier's own errors make of a perfect generator
    (`classifier_hit` and `classifier_leakage` in the mean). `no_effect_shown` names what asking for is not
    shown to make more frequent. `class_column` is the column whose classes were toggled, None for attributes.

    `scores` are those of `evaluation.control.control_scores`; their `floor` is what redrawing every face
    would give, their `ceiling` what the classifier would grant a perfect generator. `fingerprint` is what two
    reports must share to be compared.
    """

    num_samples: int
    num_images: int
    scores: dict[str, ScoreRow]
    fingerprint: dict[str, Any]
    base: Base
    class_column: str | None
    answers: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    hit: dict[str, float]
    hit_chance: float
    leakage: dict[str, float] | None
    leakage_chance: float | None
    classifier_limits: dict[str, dict[str, float | None]]
    classifier_hit: float | None
    classifier_leakage: float | None
    no_effect_shown: tuple[str, ...]
    remarks: tuple[str, ...]
    classifier: str
    classifier_fingerprint: str
    run: str
    data: str | None
    settings: dict[str, Any]
    seconds: float
    heat_map: Path | None = None
    grid: Path | None = None
    saved_to: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return report_json("control", self)


def evaluate_control(
    run: Path | str,
    classifier: Path | str,
    options: ControlOptions | None = None,
    progress: Progress | None = None,
) -> ControlReport:
    """Draw pairs of faces whose requests differ in one attribute, and count which answers change.

    Writes the report to `RUN/evaluations/control-*.json`, a heat map and a grid of pairs beside it.

    Raises:
        UsageError: a run that is not asked by attributes, an attribute that it or the classifier does not
            know, another image size than the classifier's.
        DataError: no label rows, or nothing that both know.
        MissingModelError: no checkpoint in the run or the classifier.
    """
    options, progress = options or ControlOptions(), progress or SilentProgress()
    started = time.monotonic()
    run = Path(run)
    if options.num_samples < 1:
        raise UsageError(f"{options.num_samples} pairs; at least 1 is needed.")
    device = resolve_device(options.device)
    generator = FaceGenerator.load(run, device)
    judge = load_classifier(Path(classifier), device)
    asked = askable(generator, judge, run)
    toggled = _toggled(asked, options.attributes)
    if generator.image_size != judge.image_size:
        raise UsageError(
            f"The classifier '{classifier}' was trained on {judge.image_size} pixels, and this run draws "
            f"{generator.image_size}.",
            hint=f"Train a classifier on a data set prepared with --size {generator.image_size}.",
        )
    base, source, data = _base_requests(generator, asked, options)
    settings = sampling_settings(generator, guidance=options.guidance, steps=options.steps)
    conditioner: Any = generator.conditioner

    def draw(requests: Tensor, seeds: Sequence[int]) -> Tensor:
        return generator.generate(conditioner.inputs(asked.frame(requests)), list(seeds), settings)

    toggle = toggle_requests if asked.class_column is None else class_toggle
    toggles = [toggle(base, asked.names, name, options.num_samples) for name in toggled]
    total = 2 * len(toggles) * options.num_samples
    with progress.stage("Drawing and judging pairs of faces", total=total) as bar:
        matrix = control_matrix(
            toggles,
            asked.known,
            range(options.seed, options.seed + options.num_samples),
            draw,
            asked.answer,
            keep_pairs=options.grid_pairs,
            advance=bar.advance,
        )
    report = _report(matrix, judge, asked, options)
    report = replace(
        report,
        fingerprint={**report.fingerprint, "data": data},
        classifier=str(classifier),
        run=str(run),
        data=source,
        settings=generator_facts(generator, settings, options.seed),
        seconds=round(time.monotonic() - started, 2),
        heat_map=_write_heat_map(run, report),
        grid=_write_pairs(run, matrix),
    )
    return replace(report, saved_to=save_report(run, "control", report.to_json()))


def _toggled(asked: Askable, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    both = tuple(name for name in asked.names if name in asked.known)
    if wanted is not None and not wanted:
        raise UsageError("No attribute is named to be toggled.", hint=f"Both know: {', '.join(both)}.")
    for name in wanted or ():
        if name not in both:
            who = "run cannot be asked for" if name not in asked.names else "classifier cannot tell"
            raise UsageError(
                f"The {who} '{name}'.{did_you_mean(name, both)}", hint=f"Both know: {', '.join(both)}."
            )
    return both if wanted is None else tuple(dict.fromkeys(wanted))


def _base_requests(
    generator: FaceGenerator, asked: Askable, options: ControlOptions
) -> tuple[Tensor, str | None, str | None]:
    """Requests (R, A) int8 that are toggled in, the path they come from and the data set's fingerprint."""
    if options.base == "open":
        return torch.zeros(options.num_samples, len(asked.names), dtype=torch.int8), None, None
    records = request_records(generator, options.data, options.split)
    if len(records.frame) == 0:
        raise DataError(f"Split '{options.split}' of '{records.source}' is empty.")
    order = drawn_rows(len(records.frame), len(records.frame), options.seed).tolist()
    return asked.requests(records.frame.iloc[order]), str(records.source), records.dataset_fingerprint


def _report(
    matrix: ControlMatrix, judge: FaceClassifier, asked: Askable, options: ControlOptions
) -> ControlReport:
    limits = {name: classifier_limits(judge.held_out, name) for name in asked.known}
    cells = [(name, cell) for row in matrix.rows for name, cell in row["leakage"].items() if cell is not None]
    return ControlReport(
        num_samples=options.num_samples,
        num_images=matrix.num_images,
        scores=control_scores(matrix, limits),
        fingerprint={
            "classifier": judge.fingerprint,
            "image_size": judge.image_size,
            "base": options.base,
            "split": None if options.base == "open" else options.split,
        },
        base=options.base,
        class_column=asked.class_column,
        answers=asked.known,
        rows=matrix.rows,
        hit=matrix.hit,
        hit_chance=mean_known([row["chance"] for row in matrix.rows]) or 0.0,
        leakage=matrix.leakage,
        leakage_chance=mean_known([cell["chance"] for _, cell in cells]),
        classifier_limits=limits,
        classifier_hit=mean_known([limits[row["attribute"]]["hit"] for row in matrix.rows]),
        classifier_leakage=mean_known([limits[name]["leakage"] for name, _ in cells]),
        no_effect_shown=tuple(row["attribute"] for row in matrix.rows if row["effect"]["low"] <= 0),
        remarks=tuple(_remarks(matrix, asked, options)),
        classifier="",
        classifier_fingerprint=judge.fingerprint,
        run="",
        data=None,
        settings={},
        seconds=0.0,
    )


def _remarks(matrix: ControlMatrix, asked: Askable, options: ControlOptions) -> list[str]:
    remarks = []
    if options.num_samples < FEWEST_PAIRS:
        remarks.append(
            f"{options.num_samples} pairs an attribute say little about one of them: ask for more with "
            "--num-samples."
        )
    if asked.class_column is not None:
        remarks.append(
            f"Toggled is the class '{asked.class_column}'. The class given up has to change; leakage is into "
            "third ones."
        )
    elif any(row["gave_way"] for row in matrix.rows):
        remarks.append(
            "What a toggled attribute rules out or in (other hair colours, hair under a hat) was asked for "
            "accordingly; in those pairs it is no leakage."
        )
    return remarks


def _write_heat_map(run: Path, report: ControlReport) -> Path:
    leaked = "–" if report.leakage is None else f"{100 * report.leakage['share']:.1f} %"
    title = (
        f"Came true: {100 * report.hit['share']:.1f} %. Leakage: {leaked}. "
        f"{report.num_samples} pairs each, in %"
    )
    path = evaluation_path(run, "control", "png")
    atomic_write(path, control_heat_map_png(report.rows, report.answers, title))
    return path


def _write_pairs(run: Path, matrix: ControlMatrix) -> Path | None:
    """A row an attribute: the first pairs, without and with it."""
    num_pairs = matrix.picture_answers.shape[1]
    if num_pairs == 0:
        return None
    captions = []
    for row, answers in zip(matrix.rows, matrix.picture_answers.tolist(), strict=True):
        name = row["attribute"].replace("_", " ")
        for before, after in answers:
            captions += [
                f"unwanted: {name}" if before else f"no {name}",
                name if after else f"missed: {name}",
            ]
    images = matrix.pictures.flatten(0, 2)
    grid = image_grid(images, 2 * num_pairs, captions, scale=max(1, 96 // images.shape[-1]))
    path = evaluation_path(run, "control-pairs", "png")
    atomic_write(path, pil_to_png(grid))
    return path
