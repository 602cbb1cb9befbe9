"""`facegen eval fid`, `clean-fid`, `fd-dinov2`, `kid`, `cmmd`, `mind`, `inception-score`, `precision-recall`,
`all`: how close faces are to real ones, from one look at them, with what it takes to read the scores."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from facegen.config.kinds import kinds_of, load_kind, trust
from facegen.errors import DataError, UsageError
from facegen.evaluation.colours import real_colours
from facegen.evaluation.features import judged_features, real_floor, reconstructed_features
from facegen.evaluation.judged_images import JudgedImages, JudgedReport, is_run, open_judged
from facegen.evaluation.options import DistributionOptions, Selection
from facegen.evaluation.steps import finished
from facegen.formats.dataset import MANIFEST_NAME, Dataset
from facegen.formats.far import named
from facegen.formats.influences import Influence, Influences
from facegen.formats.reports import ScoreRow
from facegen.metrics import ReferenceFeatures, Shift, colour_remark, colour_shifts
from facegen.models.devices import resolve_device
from facegen.models.feature_cache import Viewer
from facegen.models.feature_metrics import metric_class
from facegen.models.feature_networks import load_extractor
from facegen.models.kept_scores import KeptMetric, Seen, name_of
from facegen.models.published_metrics import published_name, resize_remarks
from facegen.models.real_features import RealImages, real_reference
from facegen.progress import SilentProgress
from facegen.protocols import Progress


@dataclass(frozen=True, kw_only=True)
class DistributionReport(JudgedReport):
    """Scores by name, the main one first, of `subject` against the real images of `reference`.

    `metric` is the command's name: "fid", "all", ... `floor` is `RealFloor.facts`, `ceiling` says how many
    images were reconstructed (`num_samples`). `fingerprint` is what two reports must share before their
    scores can be compared. `colour` is how the images' colours are shifted against those of the reference.
    """

    scores: dict[str, ScoreRow]
    num_samples: int
    num_reference: int
    num_features: int
    features: str
    reference: str
    split: str
    floor: dict[str, Any] | None
    ceiling: dict[str, int] | None
    fingerprint: dict[str, Any]
    remarks: tuple[str, ...]
    colour: dict[str, Shift] = field(default_factory=dict)

    @property
    def main(self) -> ScoreRow:
        """The first score."""
        return next(iter(self.scores.values()))

    @property
    def score(self) -> float:
        """The first score's published value."""
        return self.main.value


@dataclass(frozen=True)
class Judgement:
    """A report that nobody has saved yet, and what it was made from: features (N, D) of the images `judged`,
    and those of the real images of `real`."""

    report: DistributionReport
    influences: Influences
    judged: JudgedImages
    features: Tensor
    real: RealImages
    reference: ReferenceFeatures


def evaluate(
    subject: Path | str,
    reference: Path | str,
    metrics: Sequence[str] | None = None,
    options: DistributionOptions | None = None,
    progress: Progress | None = None,
    *,
    name: str | None = None,
) -> DistributionReport:
    """Score `subject` (a run, a folder of images or a prepared data set) against real images.

    `metrics` are kinds of `FeatureMetric`; None takes all that the features allow. A run draws its samples
    for label rows of the reference split, or of the split `requests`, and its report is also written to
    `RUN/evaluations/<name>-*.json`.

    Raises:
        DataError: too few images for a metric, mixed or differing sizes or crops, not RGB, an empty folder, a
            missing split.
        MissingModelError: the feature network's weights cannot be had.
        UsageError: unknown features or metrics, or features that a metric cannot use, a run of another kind.
    """
    started = time.monotonic()
    found = judgement(subject, reference, metrics, options, progress, name=name)
    return finished(found.report, started, found.judged.run, influences=found.influences)


def judgement(
    subject: Path | str,
    reference: Path | str,
    metrics: Sequence[str] | None = None,
    options: DistributionOptions | None = None,
    progress: Progress | None = None,
    *,
    name: str | None = None,
    real_images: int | None = None,
) -> Judgement:
    """As `evaluate`, against so many `real_images` (None: all), for one who has more to ask of the features
    and saves the report, or does not."""
    options, progress = options or DistributionOptions(), progress or SilentProgress()
    subject, dataset = Path(subject), Dataset.open(reference)
    if options.requests is not None and not is_run(subject):
        raise UsageError(f"--requests is for runs, which draw what is asked, and '{subject}' is not one.")
    kinds = _kinds(metrics, options.features)
    device = resolve_device(options.device)
    judged = open_judged(subject, selection_of(dataset, options), device, progress)
    _check_fit(judged, dataset, options.split, kinds)
    extractor = load_extractor(options.features, options.weights, device, progress)
    viewer = Viewer.of(extractor, dataset.manifest.image_size, options.batch_size, progress)
    real = RealImages(dataset, options.split, real_images)
    against = real_reference(real, viewer)
    looked = judged_features(judged, options.split, viewer)
    features, stored = looked.features, looked.stored
    count, width = features.shape
    colour = colour_shifts(looked.colours, real_colours(real, viewer))
    sample = replace(real, count=count, seed=options.seed)
    floor = real_floor(sample, against, viewer)
    rebuilt = reconstructed_features(judged, sample, viewer)
    built = {kind: KeptMetric.of(kind, extractor, against, name_of(against), progress) for kind in kinds}
    beside = built
    if floor is not None and floor.reference is not against:
        other, named_so = floor.reference, name_of(floor.reference)
        beside = {kind: KeptMetric.of(kind, extractor, other, named_so, progress) for kind in kinds}
    remarks = resize_remarks(extractor, judged.image_size)
    remarks += [remark for kept in built.values() for remark in kept.metric.remarks(count, width)]
    remarks += filter(None, [colour_remark(colour)])
    rows, influences = _rows(
        built, features, None if floor is None else floor.features, rebuilt, beside, progress
    )
    fingerprint = dataset.manifest.fingerprint
    if judged.kind == "dataset" and Dataset.open(judged.path).manifest.fingerprint == fingerprint:
        remarks.insert(0, "These images are the reference's own, so every score is that of perfect copies.")
    report = DistributionReport(
        metric=name or (kinds[0].replace("_", "-") if len(kinds) == 1 else "all"),
        scores={name: replace(row, published=published_name(name, extractor)) for name, row in rows.items()},
        num_samples=count,
        num_reference=against.statistics.num_samples,
        num_features=width,
        features=extractor.name,
        reference=named(dataset.folder),
        split=options.split,
        floor=None if floor is None else floor.facts,
        ceiling=None if rebuilt is None else {"num_samples": len(rebuilt)},
        fingerprint={
            "features": extractor.fingerprint,
            "image_size": judged.image_size,
            "bits": 8,
            "compression": stored.compression,
            "reference": fingerprint,
            "split": options.split,
        },
        remarks=tuple(remarks),
        colour=colour,
        **judged.facts(file_formats=list(stored.formats)),
    )
    moved = Influences(influences, judged.pairing)
    return Judgement(report, moved, judged, features, real, against)


def selection_of(reference: Dataset, options: DistributionOptions) -> Selection:
    """Which images are judged against the reference."""
    return Selection(
        num_samples=options.num_samples,
        split=options.requests or options.split,
        data=reference.folder,
        **options.drawing,
    )


def _kinds(metrics: Sequence[str] | None, features: str) -> tuple[str, ...]:
    known = {kind: metric for kind in kinds_of("metrics") if (metric := metric_class(kind)) is not None}
    if metrics is None:
        fitting = [kind for kind in known if known[kind].needs_features in (None, features)]
        return tuple(sorted(fitting, key=lambda kind: known[kind].needs_features is not None))
    for kind in metrics:
        trust(kind)
        metric = metric_class(kind) if ":" in kind else known.get(kind)
        if metric is None:
            raise UsageError(f"'{kind}' is not a distribution metric.", hint=f"Known: {', '.join(known)}.")
        if not metric.takes(features):
            raise UsageError(
                f"'{kind}' has a meaning in the features '{metric.needs_features}' alone, not in "
                f"'{features}'.",
                hint="Leave --features out; give the weights by --weights FILE where they are not cached.",
            )
    return tuple(dict.fromkeys(metrics))


def _check_fit(judged: JudgedImages, dataset: Dataset, split: str, kinds: tuple[str, ...]) -> None:
    """Refuse what would make a score of something else: another size or crop, too few images."""
    judged.check_size(dataset)
    ours, theirs = _crop_of(judged), dataset.manifest.transform.get("crop")
    if ours is not None and theirs is not None and ours != theirs:
        raise DataError(
            f"'{judged.path}' has faces of crop '{ours}' and the reference '{dataset.folder}' of crop "
            f"'{theirs}'; the score would be that of the crops.",
            hint=f"Prepare the reference with --crop {ours}.",
        )
    for kind in kinds:
        metric: Any = load_kind("metrics", kind).build
        metric.check_count(len(judged), f"'{judged.path}'")
        metric.check_count(len(dataset.split(split)), f"Reference split '{split}'")


def _crop_of(judged: JudgedImages) -> str | None:
    """The crop of a data set, or of the data set a run was trained on where that is still there."""
    folder = judged.path if judged.generator is None else judged.generator.data.path
    if folder is None or not (Path(folder) / MANIFEST_NAME).is_file():
        return None
    return Dataset.open(folder).manifest.transform.get("crop")


def _rows(
    metrics: dict[str, KeptMetric],
    features: Tensor,
    real: Tensor | None,
    rebuilt: Tensor | None,
    beside: dict[str, KeptMetric],
    progress: Progress,
) -> tuple[dict[str, ScoreRow], dict[str, Influence]]:
    """Scores of `features` and their influences, by name; `beside` are the metrics that judge the `real`
    images of the floor."""
    rows: dict[str, ScoreRow] = {}
    influences: dict[str, Influence] = {}
    judged = Seen.of(features)
    lowest, highest = (None if seen is None else Seen.of(seen) for seen in (real, rebuilt))
    with progress.stage("Scores", total=len(metrics)) as bar:
        for kind, kept in metrics.items():
            settings = kept.metric.settings(len(features))
            if kept.metric.depends_on_count:
                settings["num_samples"] = len(features)
            floor, ceiling = beside[kind].values(lowest), kept.values(highest)
            for name, score in kept.judge(judged).items():
                ends = {"floor": floor.get(name), "ceiling": ceiling.get(name)}
                told = {key: value for key, value in vars(score).items() if key != "influence"}
                rows[name] = ScoreRow(metric=kind, settings=settings, **ends, **told)
                if score.influence is not None:
                    influences[name] = score.influence
            bar.advance()
    return rows, influences
