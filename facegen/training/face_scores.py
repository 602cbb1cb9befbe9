"""Judging the faces that a model in training draws, as `facegen eval` judges those of its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from facegen.config.kinds import kinds_of
from facegen.config.recipe import ATTRIBUTES, ScoreConfig, ScoringConfig
from facegen.errors import DataError, UsageError
from facegen.formats.classifier_run import check_image_size
from facegen.formats.dataset import MANIFEST_NAME, Dataset
from facegen.metrics import FeatureMetric, ReferenceFeatures, Score
from facegen.metrics.attributes import AttributeAgreement, Config
from facegen.models.classifier import load_classifier
from facegen.models.feature_cache import Viewer
from facegen.models.feature_metrics import build_metric, metric_class
from facegen.models.feature_networks import FeatureExtractor, load_extractor
from facegen.models.generator import FaceGenerator
from facegen.models.real_features import RealImages, real_reference
from facegen.protocols import Progress
from facegen.training.scoring import Scores

if TYPE_CHECKING:
    import pandas as pd

JUDGING_BATCH = 64  # images shown to a classifier at once
SCORING_SEED = 0  # of rows and noise: the default of `facegen eval`, whose faces are then the same ones

Judge = Callable[[Tensor], dict[str, dict[str, Score]]]
"""uint8 (N, 3, H, W) of all faces -> numbers by kind of score and name, the main one first."""


@dataclass(frozen=True)
class Requests:
    """What faces are asked for: condition `inputs` (N, ...) and in `frame` (N rows) what should come true.

    They are `image_size` pixels a side. `split` of `data`, a data set of images where it is one, is what the
    requests are from.
    """

    inputs: Tensor
    frame: pd.DataFrame
    image_size: int
    data: Path
    split: str

    def __len__(self) -> int:
        return len(self.inputs)


class FaceScorer:
    """`Scorer` of the faces that `generator_of(module)` draws for the same requests and seeds each time."""

    def __init__(
        self,
        requests: Requests,
        generator_of: Callable[[nn.Module], FaceGenerator],
        judges: Sequence[Judge],
        judged_by: dict[str, str],
    ) -> None:
        self._inputs, self._generator_of, self._judges = requests.inputs, generator_of, judges
        self.judged_by = judged_by

    def __call__(self, module: nn.Module) -> Scores:
        """Numbers by kind of score and name."""
        generator = self._generator_of(module)
        seeds = range(SCORING_SEED, SCORING_SEED + len(self._inputs))
        images = generator.generate(self._inputs, seeds, generator.sampling)
        return {kind: numbers for judge in self._judges for kind, numbers in judge(images).items()}


def face_scorer(
    config: ScoringConfig,
    requests: Requests,
    generator_of: Callable[[nn.Module], FaceGenerator],
    device: torch.device,
    progress: Progress,
) -> FaceScorer:
    """A scorer with the judges that `config` names; the reference's features are computed, or kept ones read.

    Raises:
        UsageError: a score that is none, judges of another size or of other labels, no reference named.
        DataError: a reference of another size, without the split, or too few images.
        MissingModelError: the weights of a judge are not to be had.
    """
    judges: list[Judge] = []
    judged_by = {"choice of requests": f"{len(requests)} of '{requests.split}', seed {SCORING_SEED}"}
    by_network: dict[str, list[str]] = {}
    for score in config.scores:
        if score.features is not None:
            _check_metric(score, len(requests))
            by_network.setdefault(score.features, []).append(score.kind)
        else:
            judge, judged_by["classifier"] = _attribute_judge(Path(score.classifier or ""), requests, device)
            judges.append(judge)
    for name, kinds in by_network.items():
        compares = not all(_metric(kind).needs_classes for kind in kinds)
        real = _real_images(config, requests, kinds) if compares else None
        extractor = load_extractor(name, device=device, progress=progress)
        viewer = Viewer.of(extractor, requests.image_size, None, progress)
        judged_by[f"network '{extractor.name}'"] = extractor.fingerprint
        against = None
        if real is not None:
            judged_by["reference"] = f"{real.dataset.manifest.fingerprint} {real.split}"
            against = real_reference(real, viewer)
        judges.append(_feature_judge(kinds, extractor, against))
    return FaceScorer(requests, generator_of, judges, judged_by)


def _attribute_judge(run: Path, requests: Requests, device: torch.device) -> tuple[Judge, str]:
    """A judge of how often the requested attributes came true, and the classifier's fingerprint."""
    classifier = load_classifier(run, device)
    check_image_size(f"The classifier '{run}'", classifier.image_size, requests.image_size, "this run draws")
    if not set(classifier.attributes) & set(requests.frame.columns):
        known = f"It knows: {', '.join(classifier.attributes or classifier.classes)}."
        raise UsageError(f"The classifier '{run}' knows none of the attributes of this run.", hint=known)

    def judge(images: Tensor) -> dict[str, dict[str, Score]]:
        metric = AttributeAgreement(Config(), logits=classifier.logits, attributes=classifier.attributes)
        for part in torch.arange(len(images)).split(JUDGING_BATCH):
            metric.update(images[part], requests.frame.iloc[part.tolist()])
        found = metric.compute()
        shares = {ATTRIBUTES: found["all"], f"{ATTRIBUTES}_present": found["present"]}
        scores = {
            name: Score(share["share"], "higher", low=share["low"], high=share["high"])
            for name, share in shares.items()
            if share is not None
        }
        return {ATTRIBUTES: scores}

    return judge, classifier.fingerprint


def _feature_judge(
    kinds: Sequence[str], extractor: FeatureExtractor, reference: ReferenceFeatures | None
) -> Judge:
    """A judge of the faces' features, as `facegen eval` judges the features of stored images."""
    metrics = {kind: build_metric(kind, extractor, reference) for kind in kinds}

    def judge(images: Tensor) -> dict[str, dict[str, Score]]:
        features = torch.cat([extractor(part) for part in images.split(extractor.default_batch_size)])
        return {kind: metric.judge(features) for kind, metric in metrics.items()}

    return judge


def _metric(kind: str) -> type[FeatureMetric]:
    """The class of a metric over features.

    Raises:
        UsageError: it judges something else.
    """
    found = metric_class(kind)
    if found is None:
        known = [name for name in kinds_of("metrics") if metric_class(name) is not None]
        raise UsageError(
            f"scoring.scores: '{kind}' cannot judge faces while training.",
            hint=f"Known: {', '.join([ATTRIBUTES, *known])}; or 'package.module:Name' of a FeatureMetric.",
        )
    return found


def _check_metric(score: ScoreConfig, num_images: int) -> None:
    metric = _metric(score.kind)
    if num_images < metric.min_samples:
        raise UsageError(
            f"scoring.num_images is {num_images}, too few for {metric.why_so_many}.",
            hint=f"--set scoring.num_images={metric.min_samples}",
        )
    if not metric.takes(score.features or ""):
        raise UsageError(
            f"scoring.scores: '{score.kind}' has a meaning in the features '{metric.needs_features}' alone, "
            f"not in '{score.features}'.",
            hint=f"{{kind: {score.kind}, features: {metric.needs_features}}}",
        )


def _real_images(config: ScoringConfig, requests: Requests, kinds: Sequence[str]) -> RealImages:
    """The real images that drawn ones are compared with: the split that the requests are from."""
    named = config.reference
    folder = requests.data if named is None else Path(named).expanduser()
    if not (folder / MANIFEST_NAME).is_file():
        if named is None:
            raise UsageError(
                f"{', '.join(kinds)} compare with real images, and '{folder}' are latents, which hold none.",
                hint="Name the data set they were encoded from: --set scoring.reference=DATASET",
            )
        raise DataError(
            f"scoring.reference: '{named}' is not a prepared data set of images.",
            hint="Give the data set that 'facegen prepare' wrote.",
        )
    dataset = Dataset.open(folder)
    size, count = dataset.manifest.image_size, len(dataset.split(requests.split))
    if size != requests.image_size:
        raise DataError(
            f"The run draws {requests.image_size} pixels and scoring.reference '{folder}' has {size}.",
            hint=f"Prepare the reference with --size {requests.image_size}.",
        )
    for kind in kinds:
        metric = _metric(kind)
        if count < metric.min_samples:
            raise DataError(
                f"Split '{requests.split}' of '{folder}': {count} images are too few for "
                f"{metric.why_so_many}; at least {metric.min_samples} are needed.",
                hint="Prepare more held-out images with --splits, or name other data: "
                "--set scoring.reference=DATASET",
            )
    return RealImages(dataset, requests.split)
