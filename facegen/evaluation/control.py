"""`facegen eval control`: toggle one wish of a request, at the same noise, and see what else changes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facegen.errors import UsageError, did_you_mean
from facegen.evaluation.control_heat_map import control_heat_map
from facegen.evaluation.control_matrix import (
    ControlMatrix,
    ControlRow,
    Limits,
    classifier_limits,
    control_matrix,
    control_scores,
)
from facegen.evaluation.options import Base, ControlOptions
from facegen.evaluation.steps import (
    Evaluation,
    asked_records,
    captioned,
    evaluation_path,
    finished,
    generator_facts,
    open_judge,
    open_run,
    save_picture,
)
from facegen.evaluation.toggles import Askable, askable, class_toggle, toggle_requests
from facegen.formats.far import named
from facegen.formats.reports import ScoreRow
from facegen.metrics import Share
from facegen.models.generator import FaceGenerator
from facegen.progress import SilentProgress
from facegen.protocols import Progress

FEWEST_PAIRS = 30  # below, the intervals are wider than most differences


@dataclass(frozen=True, kw_only=True)
class ControlReport(Evaluation):
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

    metric: str = "control"
    num_samples: int
    num_images: int
    scores: dict[str, ScoreRow]
    fingerprint: dict[str, Any]
    base: Base
    class_column: str | None
    answers: tuple[str, ...]
    rows: tuple[ControlRow, ...]
    hit: Share
    hit_chance: float
    leakage: Share | None
    leakage_chance: float | None
    classifier_limits: dict[str, Limits]
    classifier_hit: float | None
    classifier_leakage: float | None
    no_effect_shown: tuple[str, ...]
    remarks: tuple[str, ...]
    classifier: str
    classifier_fingerprint: str
    run: str
    data: str | None
    settings: dict[str, Any]
    heat_map: Path | None = None
    grid: Path | None = None


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
    started, run = time.monotonic(), Path(run)
    generator, settings = open_run(run, options, what="pairs")
    judge = open_judge(Path(classifier), generator)
    asked = askable(generator, judge, run)
    toggled = _toggled(asked, options.attributes)
    base, source, data = _base_requests(generator, asked, options)
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
    limits = {name: classifier_limits(judge.held_out, name) for name in asked.known}
    scores = control_scores(matrix, limits)
    hit, leakage = scores["hit"], scores.get("leakage")
    report = ControlReport(
        num_samples=options.num_samples,
        num_images=matrix.num_images,
        scores=scores,
        fingerprint={
            "classifier": judge.fingerprint,
            "image_size": judge.image_size,
            "base": options.base,
            "split": None if options.base == "open" else options.split,
            "data": data,
        },
        base=options.base,
        class_column=asked.class_column,
        answers=asked.known,
        rows=matrix.rows,
        hit=matrix.hit,
        hit_chance=hit.floor or 0.0,
        leakage=matrix.leakage,
        leakage_chance=leakage.floor if leakage else None,
        classifier_limits=limits,
        classifier_hit=hit.ceiling,
        classifier_leakage=leakage.ceiling if leakage else None,
        no_effect_shown=tuple(row["attribute"] for row in matrix.rows if row["effect"]["low"] <= 0),
        remarks=tuple(_remarks(matrix, asked, options)),
        classifier=str(classifier),
        classifier_fingerprint=judge.fingerprint,
        run=named(run),
        data=source,
        settings=generator_facts(generator, settings, options.seed),
        heat_map=_write_heat_map(run, matrix, asked.known, options.num_samples),
        grid=_write_pairs(run, matrix),
    )
    return finished(report, started, run)


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
    records, _, frame = asked_records(generator, options.data, options.split, None, options.seed)
    return asked.requests(frame), named(records.source), records.dataset_fingerprint


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


def _write_heat_map(run: Path, matrix: ControlMatrix, answers: tuple[str, ...], num_pairs: int) -> Path:
    leaked = "–" if matrix.leakage is None else f"{100 * matrix.leakage['share']:.1f} %"
    title = f"Came true: {100 * matrix.hit['share']:.1f} %. Leakage: {leaked}. {num_pairs} pairs each, in %"
    return save_picture(evaluation_path(run, "control", "png"), control_heat_map(matrix.rows, answers, title))


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
    grid = captioned(images, 2 * num_pairs, captions)
    return save_picture(evaluation_path(run, "control-pairs", "png"), grid)
