"""`facegen eval subgroups`: whether faces are as good, as varied and as asked for every group."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from facegen.errors import DataError, UsageError, did_you_mean
from facegen.evaluation.colours import ColoursSeen, real_colours
from facegen.evaluation.judged_images import JudgedImages, JudgedReport, open_judged
from facegen.evaluation.options import SubgroupOptions
from facegen.evaluation.score_rows import Better, score_row
from facegen.evaluation.steps import finished, passing
from facegen.formats.classifier_run import CLASSIFIER_PREFIX, check_image_size
from facegen.formats.dataset import Dataset
from facegen.formats.far import named
from facegen.formats.reports import ScoreRow
from facegen.metrics import Shift, colour_remark
from facegen.metrics.subgroups import Config, Group, SubgroupScores, groups_of
from facegen.models.classifier import load_classifier
from facegen.models.devices import resolve_device
from facegen.models.feature_cache import Viewer
from facegen.models.feature_networks import load_extractor
from facegen.models.real_features import RealImages, real_features
from facegen.progress import SilentProgress
from facegen.protocols import Progress

GROUP_SCORES: dict[str, tuple[Better, bool]] = {  # which way is better, and whether counts must be equal
    "kid": ("lower", False),
    "frechet": ("lower", False),
    "precision": ("higher", True),
    "recall": ("higher", True),
    "accuracy": ("higher", False),
}


@dataclass(frozen=True, kw_only=True)
class SubgroupReport(JudgedReport):
    """One row a group, everyone first; see `SubgroupScores.compute`.

    `worse_off` names the groups, small ones aside, that beyond doubt are farther from real faces than all
    others, or fall farther behind what their real faces get right; the clearest first. A group that is so
    only by the images it shares with another is not named; its row's `apart` has it without them. `colour` is
    how the images' colours are shifted against those of the reference.
    """

    metric: str = "subgroups"
    scores: dict[str, ScoreRow]
    fingerprint: dict[str, Any]
    rows: tuple[dict[str, Any], ...]
    worse_off: tuple[str, ...]
    num_samples: int
    small_below: int
    features: str
    features_fingerprint: str
    classifier: str
    classifier_fingerprint: str
    reference: str
    reference_fingerprint: str
    split: str
    remarks: tuple[str, ...]
    colour: dict[str, Shift] = field(default_factory=dict)


def evaluate_subgroups(
    subject: Path | str,
    classifier: Path | str,
    reference: Path | str,
    options: SubgroupOptions | None = None,
    progress: Progress | None = None,
) -> SubgroupReport:
    """Score `subject` (a run, or a data set) group by group against the same groups of `reference`.

    A run is asked for held-out label rows, and its groups are what was asked for; those of a data set are its
    own labels. A run's report is also written to `RUN/evaluations/subgroups-*.json`.

    Raises:
        DataError: images without labels, another image size than the reference's, too few images.
        MissingModelError: the classifier or the feature network's weights cannot be had.
        UsageError: unknown features or group, a classifier of another image size, a run that draws no faces.
    """
    options, progress = options or SubgroupOptions(), progress or SilentProgress()
    started = time.monotonic()
    device = resolve_device(options.device)
    judge = load_classifier(Path(classifier), device)
    dataset = Dataset.open(reference)
    name = options.features or f"{CLASSIFIER_PREFIX}{classifier}"
    extractor = load_extractor(name, options.weights, device, progress)
    judged = open_judged(Path(subject), options.selection, device, progress)
    judged.check_size(dataset, spoils="change the scores")
    size = dataset.manifest.image_size
    check_image_size("The classifier", judge.image_size, size)
    viewer = Viewer.of(extractor, size, options.batch_size, progress)
    real, seen = RealImages(dataset, options.split), ColoursSeen()
    groups = _groups(judged, dataset)
    apart_from = _named(groups, options.apart_from)
    metric = SubgroupScores(
        Config(small_below=options.small_below, seed=options.selection.seed),
        features=extractor,
        logits=judge.logits,
        attributes=judge.attributes,
        groups=groups,
        reference=real_features(real, viewer),
        reference_records=dataset.split(options.split).frame,
        apart_from=apart_from,
    )
    with torch.inference_mode():
        title = judged.title("Judging the images")
        for images, records in passing(
            seen.of(judged.parts(viewer.batch_size)), judged.frame, title, progress
        ):
            metric.update(images, records)
        for images in judged.real_parts(viewer.batch_size) if judged.real_parts else ():
            metric.update_real(images)
    rows, colour = tuple(metric.compute()), seen.beside(real_colours(real, viewer))
    report = SubgroupReport(
        rows=rows,
        scores=_scores(rows),
        fingerprint={
            "features": extractor.fingerprint,
            "classifier": judge.fingerprint,
            "image_size": size,
            "reference": dataset.manifest.fingerprint,
            "split": options.split,
        },
        worse_off=tuple(_worse_off(rows)),
        num_samples=len(judged),
        small_below=options.small_below,
        features=extractor.name,
        features_fingerprint=extractor.fingerprint,
        classifier=str(classifier),
        classifier_fingerprint=judge.fingerprint,
        **judged.facts(),
        reference=named(dataset.folder),
        reference_fingerprint=dataset.manifest.fingerprint,
        split=options.split,
        remarks=(*_remarks(rows, options.small_below), *filter(None, [colour_remark(colour)])),
        colour=colour,
    )
    return finished(report, started, judged.run)


def _scores(rows: tuple[dict[str, Any], ...]) -> dict[str, ScoreRow]:
    """Each score of each group that is not small; an accuracy's ceiling is that of its real images."""
    found: dict[str, ScoreRow] = {}
    for row in rows:
        group = f"{row['label']} = {row['value']}" if row["value"] else row["label"]
        for name, (better, counts) in GROUP_SCORES.items():
            if row["small"] or row[name] is None:
                continue
            real = row["real_accuracy"] if name == "accuracy" else None
            found[f"{group} {name}"] = score_row(
                "subgroups",
                row[name]["value"],
                row[name],
                better,
                f"{name.replace('_', ' ')} of the group",
                ceiling=None if real is None else real["value"],
                settings={"num_samples": row["num_samples"]} if counts else {},
            )
    return found


def _groups(judged: JudgedImages, dataset: Dataset) -> list[Group]:
    groups = known_groups(judged, dataset)
    if not groups:
        raise DataError(
            f"Nothing is known about who is in the images of '{judged.path}', so there are no groups.",
            hint="Give a run, or a data set with the reference's attributes made by 'facegen prepare'.",
        )
    return groups


def known_groups(judged: JudgedImages, dataset: Dataset) -> list[Group]:
    """The groups of the data set's labels that are known of the judged images, too."""
    labels, known = dataset.manifest.labels, set(judged.frame.columns)
    attributes = [name for name in labels.attributes if name in known]
    return groups_of(attributes, {name: values for name, values in labels.classes.items() if name in known})


def _named(groups: list[Group], names: tuple[str, ...]) -> list[Group]:
    known = {f"{group.label}={group.value}": group for group in groups}
    found = []
    for name in names:
        plain = "=".join(part.strip() for part in name.split("="))
        if plain not in known:
            raise UsageError(
                f"There is no group '{name}' to be apart from.{did_you_mean(plain, known)}",
                hint=f"Groups: {', '.join(known)}.",
            )
        found.append(known[plain])
    return found


def _worse_off(rows: tuple[dict[str, Any], ...]) -> list[str]:
    worse = [row for row in rows if row["worse_off"]]
    return [f"{row['label']} = {row['value']}" for row in sorted(worse, key=lambda row: row["worse_off"])]


def _remarks(rows: tuple[dict[str, Any], ...], small_below: int) -> Iterator[str]:
    small = sum(row["small"] for row in rows)
    if small:
        yield (
            f"{small} of {len(rows)} groups have fewer than {small_below} images on one side: read nothing "
            "into them, or ask for more with --num-samples."
        )
    if rows[0]["frechet"] is None and (why := rows[0]["left_out"].get("frechet")):
        yield f"No Fréchet distance by group: {why}."
    by_chance = round(0.05 * (len(rows) - 1))
    yield (
        f"Of {len(rows) - 1} groups about {by_chance} lie outside a 95 % interval by chance. Worse off are "
        "named so that any is by chance in at most 5 % of evaluations."
    )
    if any(row["apart"] for row in rows):
        yield (
            "Groups share images. Apart: the group without the images of those that are worse off (or named "
            "by --apart-from), which is what to read of all others."
        )
    else:
        yield "Groups share images: what is wrong with one is, by its share, in every other that has them."
