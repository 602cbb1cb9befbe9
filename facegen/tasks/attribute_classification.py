"""Training a network that tells which attributes a face has, or which class it is of.

One yes/no answer per attribute; or one per class of `class_column`, of which the surest is taken. Both are
calibrated on the held-out images (`nn/calibration.py`).

Letters: N images, A attributes, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from facegen.config.kinds import KindConfig
from facegen.draws import Draws
from facegen.errors import DataError, UsageError, did_you_mean
from facegen.formats.dataset import DatasetSplit
from facegen.formats.images import to_unit
from facegen.nn.augmentation import Augmentation, erased, mirrored, mixed, shifted
from facegen.nn.calibration import calibration_error, cross_fitted, fit_calibration
from facegen.nn.classifier import MultiLabelResNet
from facegen.nn.multilabel_scores import Scores, mean_of, multilabel_scores
from facegen.placing import placed
from facegen.protocols import Batch
from facegen.tasks._images import TrainingImages
from facegen.types import LabelSchema

if TYPE_CHECKING:
    import pandas as pd

TRAINS_ON = "images"
CLASS_COLUMN = "class_column"  # the key of `Config` that names one
MAX_CLASS_WEIGHT = 10.0
GUESSING = 0.5  # balanced accuracy of any answer that does not look at the image
VALIDATION_BATCH_IMAGES = 256


class Config(KindConfig, frozen=True):
    kind: Literal["attribute_classification"] = "attribute_classification"
    attributes: tuple[str, ...] | None = None
    """Those to tell; left out: every one of the data set."""
    class_column: str | None = None
    """The classes of this column instead of attributes."""
    widths: tuple[int, ...] = Field(default=(24, 48, 96, 192), min_length=1)
    """Channels of the stages, fine to coarse."""
    blocks_per_stage: int = Field(default=1, ge=1)
    """Residual blocks in each."""
    balance: Literal["none", "inverse_frequency"] = "none"
    """`inverse_frequency`: rare answers weigh more."""
    max_shift_pixels: int = Field(default=0, ge=0)
    """Training images are moved by up to so many pixels."""
    mixup: float = Field(default=0.0, ge=0)
    """Parameter of the Beta distribution of mixed images; 0 is off."""
    erase_probability: float = Field(default=0.0, ge=0, le=1)
    """How likely a box of a training image is made grey."""


def classified_labels(config: Config, labels: LabelSchema) -> tuple[str, ...]:
    """What the network's outputs stand for: attributes, or the classes of `class_column`.

    Raises:
        UsageError: an attribute or class column that `labels` does not have, or both asked for.
        DataError: no attributes, or fewer than two classes.
    """
    column = config.class_column
    if column is None:
        key, what, known = "attributes", "attributes", labels.attributes
        chosen = known if config.attributes is None else config.attributes
    else:
        key, what, known, chosen = "class_column", "class columns", tuple(labels.classes), (column,)
        if config.attributes is not None:
            raise UsageError("task.attributes and task.class_column exclude each other: leave one out.")
    for name in chosen:
        if name not in known:
            raise UsageError(
                f"task.{key} names '{name}', which the data set does not have.{did_you_mean(name, known)}",
                hint=f"Its {what}: {', '.join(known) or 'none'}. Choose with --set task.{key}=...",
            )
    if not chosen:
        raise DataError(
            "The data set has no yes/no attributes, so there is nothing to classify.",
            hint="Prepare it from a source with attributes (celeba, avatars, image-folder with metadata).",
        )
    if column is None:
        return tuple(chosen)
    if len(labels.classes[column]) < 2:
        raise DataError(f"'{column}' has a single class, so there is nothing to tell apart.")
    return labels.classes[column]


def build_network(config: Config, num_outputs: int, image_size: int) -> MultiLabelResNet:
    """The untrained network for images of `image_size` pixels a side."""
    return MultiLabelResNet(num_outputs, image_size, config.widths, config.blocks_per_stage)


def label_targets(frame: pd.DataFrame, outputs: tuple[str, ...], class_column: str | None) -> Tensor:
    """What is true of each output (N, A) float32, attributes or classes of a column: 1, 0, NaN unknown."""
    if class_column is not None:
        return class_targets(frame[class_column], outputs)
    columns = [frame[name].astype("Float32").to_numpy(np.float32, na_value=np.nan) for name in outputs]
    return torch.from_numpy(np.stack(columns, axis=1))


class AttributeClassification:
    """`TrainingTask` that minimises binary cross-entropy over the known labels.

    It is trained on the first `limit` images of `train`, scored and calibrated on `validation`.

    Raises:
        UsageError: `attributes` or `class_column` names what the data set does not have.
        DataError: no attributes, a single class, an empty split, or no known label.
    """

    def __init__(
        self,
        config: Config,
        *,
        labels: LabelSchema,
        image_size: int,
        train: DatasetSplit,
        validation: DatasetSplit,
        flip: bool = False,
        augmentation: Augmentation | None = None,
        limit: int | None = None,
    ) -> None:
        self.config = config
        self.attributes = classified_labels(config, labels)  # or classes: what the outputs stand for
        self.image_size = image_size
        self.flip, self._augmentation = flip, augmentation
        self._train, self._validation = train, validation
        for name, split in (("training", train), ("validation", validation)):
            if len(split.frame) == 0:
                raise DataError(
                    f"The {name} split is empty, and the classifier needs it.",
                    hint="Prepare the data set again with other --splits, or name another split with "
                    "--set data.train_split=... or data.validation_split=...",
                )
        self._targets = label_targets(train.frame, self.attributes, config.class_column)[:limit]
        self._held_out = label_targets(validation.frame, self.attributes, config.class_column)
        self.num_examples = len(self._targets)
        known = ~torch.isnan(self._targets)
        self._known_share = float(known.float().mean())
        if self._known_share == 0 or bool(torch.isnan(self._held_out).all()):
            what = "class" if config.class_column else "attribute"
            raise DataError(f"Every {what} is unknown in the training or the validation split.")
        self._rates = _positive_rates(self._targets)

    def build_module(self) -> nn.Module:
        network = build_network(self.config, len(self.attributes), self.image_size)
        with torch.no_grad():  # start from the base rates instead of learning them first
            network.head.bias.copy_(torch.logit(self._rates))
        return network

    @property
    def group_size(self) -> int:
        """Mixed images are neighbours."""
        return 2 if self.config.mixup else 1

    def batch(self, indices: Tensor, draws: Draws) -> Batch:
        """Images (B, 3, H, W) in [-1, 1] and targets (B, A), with all that training does to them."""
        images, targets = (
            placed(part, draws.device)
            for part in (self._train.images(indices, keep=True), self._targets[indices])
        )
        if self.flip:
            images = mirrored(images, draws)
        if self.config.max_shift_pixels:
            images = shifted(images, self.config.max_shift_pixels, draws)
        images = to_unit(images)
        if self._augmentation is not None:
            images = self._augmentation.apply(images, self._augmentation.draw(draws))
        if self.config.erase_probability:
            images = erased(images, self.config.erase_probability, draws)
        if self.config.mixup:
            images, targets = mixed(images, targets, self.config.mixup, draws)
        return {"images": images, "targets": targets}

    def losses(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        logits = module(batch["images"]).float()
        targets = batch["targets"]
        known = ~torch.isnan(targets)
        targets = torch.nan_to_num(targets)
        losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        if self.config.balance == "inverse_frequency":
            rates = self._rates.to(logits.device)
            weights = targets * (0.5 / rates) + (1 - targets) * (0.5 / (1 - rates))
            losses = losses * weights.clamp(max=MAX_CLASS_WEIGHT)
        # A constant divisor, not the batch's own count of known labels: micro-batches then add up exactly.
        return {"loss": (losses * known).mean() / self._known_share}

    @torch.no_grad()
    def validate(self, module: nn.Module, device: Any) -> dict[str, Any]:
        was_training = module.training
        module.eval()
        chunks = torch.arange(len(self._held_out)).split(VALIDATION_BATCH_IMAGES)
        parts = [module(to_unit(self._validation.images(chunk, keep=True).to(device))) for chunk in chunks]
        logits = torch.cat(parts).float().cpu()
        module.train(was_training)
        known = ~torch.isnan(self._held_out)
        losses = F.binary_cross_entropy_with_logits(
            logits, torch.nan_to_num(self._held_out), reduction="none"
        )
        loss = float(losses[known].mean())
        if self.config.class_column is not None:
            return self._class_result(logits, loss)
        scores = calibrated_scores(logits, self._held_out, self.attributes)
        keys = ("accuracy", "balanced_accuracy", "auc", "calibration_error")
        return {
            "loss": loss,
            **{key: mean_of(scores, key) for key in keys},
            "attributes": scores,
            "better_than_trivial": (mean_of(scores, "balanced_accuracy") or 0.0) > GUESSING,
            "verdict": verdict(scores, len(logits)),
        }

    def _class_result(self, logits: Tensor, loss: float) -> dict[str, Any]:
        column = self.config.class_column
        assert column is not None
        probabilities, _ = cross_fitted(logits, self._held_out)
        scores = class_scores(torch.logit(probabilities, eps=1e-7), self._held_out, self.attributes)
        for name, entry in fit_calibration(logits, self._held_out).entries(self.attributes).items():
            scores["classes"][name].update(entry)
        return {
            "loss": loss,
            **scores,
            "better_than_trivial": scores["accuracy"] > scores["majority"],
            "verdict": class_verdict(scores, column, len(logits)),
        }


def build(config: Config, images: TrainingImages) -> AttributeClassification:
    """Of a recipe's images.

    Raises:
        UsageError: as the class, or the network is to be told of augmentation.
    """
    augmentation = images.augmentation
    if augmentation is not None and augmentation.tell_model:
        raise UsageError(
            "A classifier is not told of augmentation.", hint="--set data.augmentation.tell_model=false"
        )
    return AttributeClassification(
        config,
        labels=images.dataset.manifest.labels,
        image_size=images.size,
        train=images.train,
        validation=images.validation,
        flip=images.data.flip,
        augmentation=augmentation,
        limit=images.data.limit,
    )


def calibrated_scores(logits: Tensor, targets: Tensor, names: Sequence[str]) -> dict[str, Scores]:
    """Scores of calibrated logits (N, A), and the calibration itself, by attribute.

    An answer is yes where the image speaks for yes whatever the base rate (`Calibration.evidence`). So that
    no image judges what was fitted on it, scores are of cross-fitted answers; `scale`, `offset` and
    `log_odds` are fitted on all. `calibration_error` is beside `uncalibrated_error`, that of plain logits.
    """
    probabilities, evidence = cross_fitted(logits, targets)
    scores = multilabel_scores(evidence, targets, names)
    entries = fit_calibration(logits, targets).entries(names)
    ranks = multilabel_scores(logits, targets, names)
    for index, name in enumerate(names):
        scores[name] |= {
            **entries[name],
            "auc": ranks[name]["auc"],  # of one ranking, not of the folds' five
            "calibration_error": calibration_error(probabilities[:, index], targets[:, index]),
            "uncalibrated_error": calibration_error(logits[:, index].sigmoid(), targets[:, index]),
        }
    return scores


def verdict(scores: dict[str, Scores], num_images: int) -> str:
    """One sentence: mean balanced accuracy beside what guessing scores, and AUC."""
    balanced, auc = mean_of(scores, "balanced_accuracy"), mean_of(scores, "auc")
    if balanced is None or auc is None:
        return f"No attribute has both values among {num_images:,} held-out images, so none can be scored."
    known = {name: entry["balanced_accuracy"] for name, entry in scores.items()}
    known = {name: value for name, value in known.items() if value is not None}
    worst = min(known, key=lambda name: known[name])
    sentence = (
        f"Balanced accuracy {balanced:.1%} (guessing: 50 %), AUC {auc:.3f}, mean of {len(known)} attributes "
        f"on {num_images:,} held-out images; weakest: {worst} {known[worst]:.1%}."
    )
    return sentence if balanced > GUESSING else f"No better than guessing: {sentence}"


def class_targets(values: Iterable[str | None], names: Sequence[str]) -> Tensor:
    """One-vs-rest targets (N, K) float32: 1 the image's class, 0 the others; NaN where it is unknown."""
    index: dict[str | None, int] = {name: number for number, name in enumerate(names)}
    found = torch.tensor([index.get(value, -1) for value in values], dtype=torch.int64)
    targets = F.one_hot(found.clamp(min=0), len(names)).float()
    targets[found < 0] = torch.nan
    return targets


def class_scores(logits: Tensor, targets: Tensor, names: Sequence[str]) -> dict[str, Any]:
    """Scores of the likeliest class: `accuracy`, `balanced_accuracy` (mean recall), `majority`, `classes`.

    Args:
        logits: (N, K); the largest of a row is the answer.
        targets: (N, K) one-hot, or NaN in a whole row that counts nowhere.

    `classes` holds for each class its one-vs-rest scores, with its `recall` and its `share` of the images.
    A recall is None for a class that the images do not have.
    """
    known = ~torch.isnan(targets).any(1)
    truth, answer = targets[known].argmax(1), logits[known].argmax(1)
    right = truth == answer
    each = multilabel_scores(logits, targets, names)
    for number, name in enumerate(names):
        of_class = truth == number
        each[name]["recall"] = float(right[of_class].float().mean()) if of_class.any() else None
        each[name]["share"] = float(of_class.float().mean())
    return {
        "accuracy": float(right.float().mean()),
        "balanced_accuracy": mean_of(each, "recall"),
        "auc": mean_of(each, "auc"),
        "majority": max(float(scores["share"] or 0.0) for scores in each.values()),
        "classes": each,
    }


def class_verdict(scores: dict[str, Any], column: str, num_images: int) -> str:
    """One sentence: how often the class is right, beside what always giving the commonest would score."""
    recalls = {name: one["recall"] for name, one in scores["classes"].items() if one["recall"] is not None}
    worst = min(recalls, key=lambda name: recalls[name])
    sentence = (
        f"'{column}' right on {scores['accuracy']:.1%} of {num_images:,} held-out images, {len(recalls)} "
        f"classes (always the commonest: {scores['majority']:.1%}); weakest: {worst} {recalls[worst]:.1%}."
    )
    better = scores["accuracy"] > scores["majority"]
    return sentence if better else f"No better than always the commonest class: {sentence}"


def _positive_rates(targets: Tensor) -> Tensor:
    """Share of yes among the known labels of each column (A,), with one pseudo-count on either side."""
    known = ~torch.isnan(targets)
    return (torch.nan_to_num(targets).sum(0) + 1) / (known.sum(0) + 2)
