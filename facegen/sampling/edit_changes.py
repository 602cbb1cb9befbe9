"""What became of an edited photo: what came true, what else changed, and how far it went from the photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facegen.formats.classifier_run import CLASSIFIER_PREFIX, check_image_size
from facegen.models.classifier import FaceClassifier, load_classifier
from facegen.models.feature_networks import FeatureExtractor, load_extractor
from facegen.models.generator import FaceGenerator
from facegen.models.perceptual import PerceptualJudge, load_perceptual_judge
from facegen.protocols import Progress


@dataclass(frozen=True)
class Judges:
    """Who judges edited photos; None where nobody does."""

    classifier: FaceClassifier | None = None
    distance: PerceptualJudge | None = None
    features: FeatureExtractor | None = None


@dataclass(frozen=True)
class Change:
    """How an edited photo differs from the photo.

    `pixels` is the mean difference in grey levels of 0 to 255; `distance` the perceptual one and `features`
    1 - cosine in a network's features. `came_true` says of what was asked by name whether the classifier sees
    it, `changed` what else it sees otherwise than in the photo after the autoencoder alone.
    """

    pixels: float
    distance: float | None
    features: float | None
    came_true: dict[str, bool] | None
    changed: tuple[str, ...] | None


def open_judges(
    generator: FaceGenerator,
    classifier: Path | None,
    distance: str | None,
    features: str | None,
    progress: Progress,
) -> Judges:
    """Load whoever is named; the perceptual distance is the classifier's where no other is named.

    Raises:
        UsageError: a judge of other images than the model draws, or one that does not exist.
        MissingModelError: weights that are not to be had.
    """
    device, size = generator.device, generator.image_size
    judge = None if classifier is None else load_classifier(classifier, device)
    if judge is not None:
        check_image_size(f"The classifier '{classifier}'", judge.image_size, size, "this run draws")
    named = distance or (None if classifier is None else f"{CLASSIFIER_PREFIX}{classifier}")
    perceptual = None if named is None else load_perceptual_judge(named, device, progress, image_size=size)
    extractor = None if features is None else load_extractor(features, None, device, progress)
    if extractor is not None:
        check_image_size(f"The network of '{extractor.name}'", extractor.image_size, size)
    return Judges(judge, perceptual, extractor)


def pixel_change(images: Tensor, others: Tensor) -> Tensor:
    """The mean difference (B,) of uint8 images (B, 3, H, W) in grey levels."""
    return (images.float() - others.float()).abs().flatten(1).mean(1)


def feature_change(extractor: FeatureExtractor, images: Tensor, others: Tensor) -> Tensor:
    """1 - cosine (B,) of the features of uint8 images (B, 3, H, W)."""
    return 1 - torch.cosine_similarity(extractor(images), extractor(others), dim=1)


def change_of(
    photo: Tensor, plain: Tensor, edited: Tensor, wanted: Mapping[str, float], judges: Judges
) -> Change:
    """How `edited` differs from `photo`, uint8 (3, H, W); `plain` is it after the autoencoder alone."""
    one, other = edited[None], photo[None]
    came_true = changed = None
    if judges.classifier is not None:
        came_true, changed = _seen(judges.classifier, plain[None], one, wanted)
    return Change(
        pixels=float(pixel_change(one, other)),
        distance=None if judges.distance is None else float(judges.distance.distance(one, other)),
        features=None if judges.features is None else float(feature_change(judges.features, one, other)),
        came_true=came_true,
        changed=changed,
    )


def _seen(
    classifier: FaceClassifier, plain: Tensor, edited: Tensor, wanted: Mapping[str, float]
) -> tuple[dict[str, bool], tuple[str, ...]]:
    logits = classifier.logits(torch.cat([plain, edited]))
    if classifier.classes:
        before, after = (classifier.classes[int(row.argmax())] for row in logits)
        return {name: after == name for name in wanted if name in classifier.classes}, (
            () if before == after or after in wanted else (after,)
        )
    before, after = (dict(zip(classifier.attributes, row, strict=True)) for row in (logits > 0).tolist())
    came_true = {name: after[name] == (value > 0) for name, value in wanted.items() if name in after}
    return came_true, tuple(name for name in after if name not in wanted and before[name] != after[name])


def told(change: Change) -> dict[str, Any]:
    """The change in words, for a table."""
    came_true = None
    if change.came_true is not None:
        came_true = ", ".join(f"{name} {'yes' if yes else 'no'}" for name, yes in change.came_true.items())
    changed = None if change.changed is None else ", ".join(change.changed) or "nothing"
    return {"came true": came_true, "changed too": changed}
