"""`facegen eval memorization`: whether faces are copies of training images."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import torch
from PIL import Image
from torch import Tensor

from facegen.errors import DataError
from facegen.evaluation.judged_images import JudgedImages, JudgedReport, open_judged
from facegen.evaluation.options import MemorizationOptions
from facegen.evaluation.score_rows import score_row
from facegen.evaluation.steps import captioned, evaluation_path, finished, passing, save_picture
from facegen.formats.dataset import SPLITS, Dataset
from facegen.formats.far import named
from facegen.formats.influences import Influence, Influences
from facegen.formats.reports import ScoreRow
from facegen.metrics.memorization import Config, CopyDetector, Neighbours
from facegen.models.copy_features import load_copy_features, mirrored
from facegen.models.devices import resolve_device
from facegen.models.feature_cache import Viewer
from facegen.models.real_features import RealImages, real_features
from facegen.progress import SilentProgress
from facegen.protocols import Progress

TRAIN = "train"
PAIRS_A_ROW = 2


class Pair(TypedDict):
    """A sample and the training record nearest to it."""

    sample: str
    train_id: str
    mirrored: bool
    distance: float
    score: float
    flagged: bool


@dataclass(frozen=True, kw_only=True)
class MemorizationReport(JudgedReport):
    """The share of images flagged as copies, beside that of unseen real faces.

    `low` and `high` bound it with 95 % (Wilson). `held_out` has the same numbers for real faces that were
    not used to set the threshold. `pairs` are the nearest ones; their score is the distance over that to the
    ten next training images.
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
    picture: Path | None = None


@dataclass(frozen=True)
class _Nearest(Neighbours):
    """The nearest training images of the most suspicious samples, their numbers (K,) and pictures."""

    rows: Tensor
    images: Tensor


def evaluate_memorization(
    subject: Path | str,
    train: Path | str,
    options: MemorizationOptions | None = None,
    progress: Progress | None = None,
) -> MemorizationReport:
    """Look for each image of `subject` (a run, a folder, a data set) in the train split of data set `train`.

    The threshold comes from its other splits, whose people are not in "train". A run's report and the
    picture of pairs are also written to `RUN/evaluations/memorization-*`.

    Raises:
        DataError: another image size than the training images', or too few held-out faces.
        MissingModelError: the feature network's weights cannot be had.
        UsageError: unknown features, or a run that draws no faces.
    """
    options, progress = options or MemorizationOptions(), progress or SilentProgress()
    started = time.monotonic()
    device = resolve_device(options.device)
    dataset = Dataset.open(train)
    extractor = load_copy_features(options.features, options.weights, device, progress)
    judged = open_judged(Path(subject), options.selection, device, progress)
    judged.check_size(dataset, role="training set", spoils="hide copies")
    any_size = "Use --features pixels, which takes any size."
    size = dataset.manifest.image_size
    viewer = Viewer.of(extractor, size, options.batch_size, progress, hint=any_size)
    detector = _detector(dataset, viewer, options)
    nearest = _search(judged, detector, options.shown_pairs, viewer)
    result = detector.compute()
    told = "the share of images nearer to a training image than unseen faces are"
    floor = result["held_out"]["share"]
    flagged = score_row("memorization", result["share"], result, "lower", told, floor=floor)
    report = MemorizationReport(
        **result,
        scores={"flagged": flagged},
        fingerprint={
            "features": extractor.fingerprint,
            "image_size": size,
            "train": dataset.manifest.fingerprint,
            "nominal_rate": options.nominal_rate,
            "threshold": result["threshold"],
        },
        verdict=_verdict(result),
        pairs=tuple(_pairs(judged, dataset, nearest, detector)),
        features=extractor.name,
        features_fingerprint=extractor.fingerprint,
        train=named(dataset.folder),
        train_fingerprint=dataset.manifest.fingerprint,
        num_train=len(dataset.split(TRAIN)),
        **judged.facts(),
    )
    out = options.out
    if judged.run is not None and out is None:
        out = evaluation_path(judged.run, "memorization", "png")
    if out is not None:
        save_picture(out, _picture(report, dataset, nearest))
    influences = Influences({"flagged": Influence(detector.per_image().float())}, judged.pairing)
    return finished(replace(report, picture=out), started, judged.run, influences=influences)


def _detector(dataset: Dataset, viewer: Viewer, options: MemorizationOptions) -> CopyDetector:
    def features_of(split: str, viewer: Viewer = viewer) -> Tensor:
        return real_features(RealImages(dataset, split), viewer)

    held_out = [split for split in dataset.splits if split != TRAIN]
    if not held_out:
        raise DataError(
            f"'{dataset.folder}' has no {' or '.join(SPLITS[1:])} split: without unseen real faces nobody "
            "knows how near to a training image is suspicious.",
            hint="Prepare it with --splits 0.8,0.1,0.1.",
        )
    return CopyDetector(
        Config(nominal_rate=options.nominal_rate, seed=options.selection.seed),
        features=viewer.extractor,
        train=features_of(TRAIN),
        mirrored=features_of(TRAIN, replace(viewer, extractor=mirrored(viewer.extractor))),
        held_out=torch.cat([features_of(split) for split in held_out]),
    )


def _search(judged: JudgedImages, detector: CopyDetector, shown: int, viewer: Viewer) -> _Nearest:
    nearest: _Nearest | None = None
    title = "Looking for each image among the training images"
    for images, records in passing(judged.parts(viewer.batch_size), judged.frame, title, viewer.progress):
        found = vars(detector.update(images))
        here = _Nearest(**found, rows=torch.tensor(records.index), images=images)
        both = here if nearest is None else _Nearest.cat([nearest, here])
        nearest = both[both.score.argsort()[:shown]]
    if nearest is None:
        raise DataError(f"'{judged.path}' holds no images.")
    return nearest


def _pairs(judged: JudgedImages, dataset: Dataset, nearest: _Nearest, detector: CopyDetector) -> list[Pair]:
    ids, flagged = dataset.split(TRAIN).frame["id"], detector.flagged(nearest.score)
    return [
        {
            "sample": judged.names[int(row)],
            "train_id": str(ids.iloc[int(nearest.index[i])]),
            "mirrored": bool(nearest.mirrored[i]),
            "distance": float(nearest.distance[i]),
            "score": float(nearest.score[i]),
            "flagged": bool(flagged[i]),
        }
        for i, row in enumerate(nearest.rows)
    ]


def _verdict(result: dict[str, Any]) -> str:
    seen, unseen = result["share"], result["held_out"]["share"]
    share, theirs = f"{100 * seen:.1f} %", f"{100 * unseen:.1f} %"
    if result["low"] > max(result["nominal_rate"], unseen):
        return f"{share} are nearer to a training image than unseen faces are ({theirs}): look at the pairs."
    return f"{share} flagged, {theirs} of unseen real faces: no sign of copies at this sample size."


def _picture(report: MemorizationReport, dataset: Dataset, nearest: _Nearest) -> Image.Image:
    """Rows of sample, nearest training image, its mirror image; the nearer of the two is named."""
    train = dataset.split(TRAIN).images(nearest.index)
    tiles = torch.stack([nearest.images, train, train.flip(3)], dim=1).flatten(0, 1)
    captions = []
    for pair in report.pairs:
        mark = "COPY" if pair["flagged"] else "not flagged"
        told = f"distance {pair['distance']:.3f}\nscore {pair['score']:.2f}"
        mirror = f"mirrored\n{told}" if pair["mirrored"] else "mirrored"
        captions += [
            f"{pair['sample']}\n{mark}",
            f"train {pair['train_id']}" + ("" if pair["mirrored"] else f"\n{told}"),
            mirror,
        ]
    return captioned(tiles, 3 * PAIRS_A_ROW, captions)
