"""`facegen eval diversity`: how different a model's people are from one another, group by group, beside real
people."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facegen.errors import MissingModelError, UsageError
from facegen.evaluation.distribution import DistributionReport, Judgement, judgement
from facegen.evaluation.diversity_figure import Distances, diversity_figure
from facegen.evaluation.memorized_people import DRAWN_PEOPLE
from facegen.evaluation.options import DistributionOptions, DiversityOptions
from facegen.evaluation.steps import evaluation_path, finished, save_picture
from facegen.evaluation.subgroups import known_groups
from facegen.formats.classifier_run import CLASSIFIER_PREFIX
from facegen.formats.dataset import Dataset
from facegen.metrics.diversity import Diversity, group_spreads
from facegen.metrics.subgroups import EVERYONE
from facegen.models.chosen_images import chosen_indices
from facegen.models.face_encoder import FACE_ENCODER, missing_packages
from facegen.models.real_features import reference_rows
from facegen.protocols import Progress

AUTO = "auto"
METRIC = "diversity"
PICTURED = 1000  # faces of either side whose distances are drawn


@dataclass(frozen=True, kw_only=True)
class DiversityReport(DistributionReport):
    """One row a group, everyone first: its "label" and "value", and what `GroupSpread` has.

    `narrower` names the groups whose drawn people are beyond doubt more alike than its real ones, the
    clearest first; `features_note` says in words whose features tell the people apart.
    """

    rows: tuple[dict[str, Any], ...]
    narrower: tuple[str, ...]
    features_note: str
    picture: Path | None = None


def evaluate_diversity(
    subject: Path | str,
    reference: Path | str,
    options: DiversityOptions | None = None,
    progress: Progress | None = None,
) -> DiversityReport:
    """How different the people of `subject` (a run, a folder of images or a prepared data set) are from one
    another, beside real people of `reference`, everyone and group by group.

    A run's groups are what was asked for, a data set's its labels; a folder has none. As many real people as
    drawn ones are compared, one photo of each where the data name identities. A run's report and picture are
    also written to `RUN/evaluations/diversity-*`.

    Raises:
        MissingModelError: no face encoder is installed, and no classifier stands in for it.
        UsageError: features that tell no people apart.
        DataError: as `facegen.evaluation.distribution.evaluate`.
    """
    options, started = options or DiversityOptions(), time.monotonic()
    dataset = Dataset.open(reference)
    scoring = scoring_options(options, dataset)
    found = judgement(subject, reference, (METRIC,), scoring, progress)
    groups = [(EVERYONE, ""), *((one.label, one.value) for one in known_groups(found.judged, dataset))]
    members, real = _members(found, dataset), found.reference.features
    taken = torch.stack([theirs for _, theirs in members]).any(0)
    spreads = group_spreads(found.features, real[taken], [(ours, them[taken]) for ours, them in members])
    rows = tuple(
        {"label": label, "value": value, **spread}
        for (label, value), spread in zip(groups, spreads, strict=True)
    )
    note = _features_note(scoring.features, dataset)
    report = DiversityReport(**vars(found.report), rows=rows, narrower=_narrower(rows), features_note=note)
    report = replace(report, remarks=(note, *report.remarks))
    out = options.out
    if out is None and found.judged.run is not None:
        out = evaluation_path(found.judged.run, METRIC, "png")
    if out is not None:
        picture = diversity_figure(_distances(found.features, real[members[0][1]]), rows, report.features)
        report = replace(report, picture=save_picture(out, picture))
    return finished(report, started, found.judged.run, influences=found.influences)


def scoring_options(options: DiversityOptions, dataset: Dataset) -> DistributionOptions:
    """How the images are scored, with the features that tell people apart here.

    Raises:
        MissingModelError, UsageError: as `evaluate_diversity`.
    """
    told = {name: value for name, value in vars(options).items() if name not in ("classifier", "out")}
    return DistributionOptions(**{**told, "features": _features(options, dataset)})


def _features(options: DiversityOptions, dataset: Dataset) -> str:
    stand_in = None if options.classifier is None else f"{CLASSIFIER_PREFIX}{options.classifier}"
    if options.features != AUTO:
        if not Diversity.takes(options.features):
            raise UsageError(
                f"Features '{options.features}' tell pictures apart, not people.",
                hint=f"Allowed: {AUTO}, {FACE_ENCODER}, or {CLASSIFIER_PREFIX}RUN for a facegen classifier.",
            )
        return options.features
    if stand_in is not None and (missing_packages() or dataset.manifest.kind in DRAWN_PEOPLE):
        return stand_in
    if missing_packages():
        raise MissingModelError(
            "No face encoder is installed, and no classifier was named to stand in for it.",
            hint="Install it: pip install 'facegen[people]'. Or name a classifier run: --classifier RUN",
        )
    return FACE_ENCODER


def _features_note(features: str, dataset: Dataset) -> str:
    """Whose features tell the people apart, and what that means."""
    drawn = dataset.manifest.kind in DRAWN_PEOPLE
    if features == FACE_ENCODER:
        told = f"People are told apart by a face encoder, {FACE_ENCODER}."
        return f"{told} There are no people on these pictures, which it was never shown." if drawn else told
    why = "there are no people on these pictures" if drawn else "no face encoder was used"
    return (
        f"People are told apart by the features of the classifier '{Path(features).name}', as {why}: what "
        "differs in its attributes counts, and who somebody is hardly does."
    )


def _members(found: Judgement, dataset: Dataset) -> list[tuple[Tensor, Tensor]]:
    """Everyone's and each group's drawn faces (N,) and as many real people's (M,), both bool."""
    records = dataset.split(found.real.split).frame
    frame = records.iloc[reference_rows(found.real).tolist()]
    order = np.random.default_rng(found.real.seed).permutation(len(frame))
    who = frame["identity"].iloc[order]

    def some(members: np.ndarray, count: int) -> Tensor:
        """Up to `count` of the members in the order, of each known person the first."""
        among = members[order]
        once = among & ~(who.where(among).duplicated() & who.notna()).to_numpy(bool)
        taken = torch.zeros(len(frame), dtype=torch.bool)
        taken[torch.as_tensor(order[once][:count].copy())] = True
        return taken

    pairs = [(np.ones(len(found.features), bool), np.ones(len(frame), bool))]
    groups = known_groups(found.judged, dataset)
    pairs += [(group.members(found.judged.frame), group.members(frame)) for group in groups]
    return [(torch.tensor(ours), some(real, int(ours.sum()))) for ours, real in pairs]


def _narrower(rows: tuple[dict[str, Any], ...]) -> tuple[str, ...]:
    worse = sorted((row for row in rows if row["narrower"]), key=lambda row: row["difference"]["high"])
    return tuple(f"{row['label']} = {row['value']}" if row["value"] else row["label"] for row in worse)


def _distances(ours: Tensor, real: Tensor) -> Distances:
    """Distances among equally many faces of either side."""
    count = min(len(ours), len(real), PICTURED)
    chosen = (features[chosen_indices(len(features), count, seed=0)] for features in (ours, real))
    return Distances.of(*chosen)
