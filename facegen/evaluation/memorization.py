"""`facegen eval memorization`: whether faces copy training images, or show people of the training set."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from facegen.errors import DataError
from facegen.evaluation.colours import ColoursSeen, real_colours
from facegen.evaluation.held_out import TRAIN, HeldOut, held_out_people
from facegen.evaluation.judged_images import JudgedImages, JudgedReport, open_judged
from facegen.evaluation.memorized_people import PeopleFound, PeopleJudge, judge_of_people
from facegen.evaluation.options import MemorizationOptions
from facegen.evaluation.score_rows import score_row
from facegen.evaluation.steps import evaluation_path, finished, passing, save_picture
from facegen.evaluation.suspects import Pair, Suspects
from facegen.formats.dataset import Dataset
from facegen.formats.far import named
from facegen.formats.influences import Influence, Influences
from facegen.formats.reports import ScoreRow
from facegen.metrics import Shift, colour_remark
from facegen.metrics.memorization import Config, CopyDetector
from facegen.models.copy_features import load_copy_features, mirrored
from facegen.models.devices import resolve_device
from facegen.models.feature_cache import Viewer
from facegen.models.real_features import RealImages, real_features
from facegen.progress import SilentProgress
from facegen.protocols import Progress


@dataclass(frozen=True, kw_only=True)
class MemorizationReport(JudgedReport):
    """The share of images flagged as copies, beside that of unseen real faces.

    `low` and `high` bound it with 95 % (Wilson). `held_out` has the same numbers for real faces that were
    not used to set the threshold; `unseen` says in words who they are, and whether that is known. `pairs` are
    the nearest ones; their score is the distance over that to the ten next training images. `people` says how
    many show people of the training set, and is None where that was not looked at, with `people_note` why.
    `colour` is how the images' colours are shifted against those of the training images.
    """

    metric: str = "memorization"
    scores: dict[str, ScoreRow]
    fingerprint: dict[str, Any]
    share: float
    low: float
    high: float
    num_flagged: int
    num_samples: int
    threshold: float
    nominal_rate: float
    held_out: dict[str, Any]
    verdict: str
    pairs: tuple[Pair, ...]
    features: str
    features_fingerprint: str
    train: str
    train_fingerprint: str
    num_train: int
    unseen: str = ""
    people: PeopleFound | None = None
    people_note: str = ""
    picture: Path | None = None
    colour: dict[str, Shift] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def evaluate_memorization(
    subject: Path | str,
    train: Path | str,
    options: MemorizationOptions | None = None,
    progress: Progress | None = None,
) -> MemorizationReport:
    """Look for each image of `subject` (a run, a folder, a data set) in the train split of data set `train`.

    The threshold comes from its other splits: from the people in them who are not in "train", where the data
    name identities. A run's report and the pictures of pairs are also written to
    `RUN/evaluations/memorization-*`.

    Raises:
        DataError: another image size than the training images', or too few held-out faces or people.
        MissingModelError: the feature network's weights cannot be had.
        UsageError: unknown features, or a run that draws no faces.
    """
    options, progress = options or MemorizationOptions(), progress or SilentProgress()
    started = time.monotonic()
    device = resolve_device(options.device)
    dataset = Dataset.open(train)
    held_out = held_out_people(dataset)
    extractor = load_copy_features(options.features, options.weights, device, progress)
    judged = open_judged(Path(subject), options.selection, device, progress)
    judged.check_size(dataset, role="training set", spoils="hide copies")
    any_size = "Use --features pixels, which takes any size."
    size = dataset.manifest.image_size
    viewer = Viewer.of(extractor, size, options.batch_size, progress, hint=any_size)
    copies = Suspects(_detector(dataset, held_out, viewer, options), options.shown_pairs)
    judge, note = judge_of_people(dataset, options.people)
    people = None if judge is None else PeopleJudge(judge, dataset, held_out, options, device, progress)
    known = None if people is None else Suspects(people.detector, options.shown_pairs)
    seen = ColoursSeen()
    num_others = _search(judged, copies, known, viewer, seen)
    colour = seen.beside(real_colours(RealImages(dataset, TRAIN), viewer))
    result, pairs = copies.detector.compute(), copies.pairs(judged, dataset)
    out, beside = _pictures(judged, options)
    if out is not None:
        save_picture(out, copies.picture(pairs, dataset, "COPY"))
    found = None
    if people is not None and known is not None:
        alike = known.pairs(judged, dataset)
        found = people.found(num_others, alike)
        if beside is not None and alike:
            picture = known.picture(alike, dataset, "KNOWN PERSON")
            found = replace(found, picture=save_picture(beside, picture))
    report = MemorizationReport(
        **result,
        scores=_scores(result, found),
        fingerprint={
            "features": extractor.fingerprint,
            "image_size": size,
            "train": dataset.manifest.fingerprint,
            "nominal_rate": options.nominal_rate,
            "threshold": result["threshold"],
        },
        verdict=_verdict(result),
        pairs=pairs,
        features=extractor.name,
        features_fingerprint=extractor.fingerprint,
        train=named(dataset.folder),
        train_fingerprint=dataset.manifest.fingerprint,
        num_train=len(dataset.split(TRAIN)),
        unseen=held_out.note,
        people=found,
        people_note=note if found is None else found.verdict,
        picture=out,
        colour=colour,
        remarks=tuple(filter(None, [colour_remark(colour)])),
        **judged.facts(),
    )
    flags = {"flagged": copies.detector, **({} if people is None else {"known_people": people.detector})}
    moved = {name: Influence(detector.per_image().float()) for name, detector in flags.items()}
    return finished(report, started, judged.run, influences=Influences(moved, judged.pairing))


def _pictures(judged: JudgedImages, options: MemorizationOptions) -> tuple[Path | None, Path | None]:
    """Where the pictures of copies and of people go; None where nobody said and no run is judged."""
    out = options.out
    if judged.run is not None and out is None:
        out = evaluation_path(judged.run, "memorization", "png")
    return out, None if out is None else out.with_name(f"{out.stem}-people{out.suffix}")


def _detector(
    dataset: Dataset, held_out: HeldOut, viewer: Viewer, options: MemorizationOptions
) -> CopyDetector:
    def features_of(split: str, viewer: Viewer = viewer) -> torch.Tensor:
        return real_features(RealImages(dataset, split), viewer)

    return CopyDetector(
        Config(nominal_rate=options.nominal_rate, seed=options.selection.seed),
        features=viewer.extractor,
        train=features_of(TRAIN),
        mirrored=features_of(TRAIN, replace(viewer, extractor=mirrored(viewer.extractor))),
        held_out=torch.cat([features_of(split)[rows] for split, rows in held_out.rows.items()]),
        people=held_out.people,
    )


def _search(
    judged: JudgedImages, copies: Suspects, known: Suspects | None, viewer: Viewer, seen: ColoursSeen
) -> int:
    """Show all images to both; how many are of known people without being copies."""
    num_others, num_images = 0, 0
    title = "Looking for each image among the training images"
    for images, records in passing(
        seen.of(judged.parts(viewer.batch_size)), judged.frame, title, viewer.progress
    ):
        rows = torch.tensor(records.index)
        copied = copies.look(images, rows)
        if known is not None:
            num_others += int((known.look(images, rows, copied) & ~copied).sum())
        num_images += len(images)
    if not num_images:
        raise DataError(f"'{judged.path}' holds no images.")
    return num_others


def _scores(result: dict[str, Any], people: PeopleFound | None) -> dict[str, ScoreRow]:
    told = "the share of images nearer to a training image than unseen faces are"
    floor = result["held_out"]["share"]
    rows = {"flagged": score_row("memorization", result["share"], result, "lower", told, floor=floor)}
    if people is not None:
        told = "the share of images that look like a training person more than unseen people do"
        settings = {"people": people.judge_fingerprint, "people_threshold": people.threshold}
        floor = people.held_out["share"]
        rows["known_people"] = score_row(
            "memorization", people.share, vars(people), "lower", told, floor=floor, settings=settings
        )
    return rows


def _verdict(result: dict[str, Any]) -> str:
    seen, unseen = result["share"], result["held_out"]["share"]
    share, theirs = f"{100 * seen:.1f} %", f"{100 * unseen:.1f} %"
    if result["low"] > max(result["nominal_rate"], unseen):
        return f"{share} are nearer to a training image than unseen faces are ({theirs}): look at the pairs."
    return f"{share} flagged, {theirs} of unseen real faces: no sign of copies at this sample size."
