"""Training a network that tells which attributes a face has, or which class it is of.

One yes/no answer per attribute; or one per class of `class_column`, of which the surest is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from facegen.config.kinds import KindConfig
from facegen.errors import DataError, UsageError, did_you_mean
from facegen.formats.dataset import DatasetSplit
from facegen.formats.images import to_unit
from facegen.nn.classifier import MultiLabelResNet
from facegen.nn.multilabel_scores import Scores, mean_of, multilabel_scores
from facegen.protocols import Batch
from facegen.tasks._class_scores import class_scores, class_targets, class_verdict
from facegen.types import LabelSchema

if TYPE_CHECKING:
    import pandas as pd

MAX_CLASS_WEIGHT = 10.0
VALIDATION_BATCH_IMAGES = 256


class Config(KindConfig):
    kind: Literal["attribute_classification"] = "attribute_classification"
    attributes: tuple[str, ...] | None = None  # None: every attribute of the data set
    class_column: str | None = None  # the classes of this column instead of attributes
    widths: tuple[int, ...] = Field((24, 48, 96, 192), min_length=1)
    blocks_per_stage: int = Field(1, ge=1)
    balance: Literal["none", "inverse_frequency"] = "none"
    max_shift_pixels: int = Field(0, ge=0)


def build(
    config: Config,
    *,
    labels: LabelSchema,
    image_size: int,
    train: DatasetSplit,
    validation: DatasetSplit,
    flip: bool = False,
    limit: int | None = None,
) -> AttributeClassification:
    """The task over a split to train on (its first `limit` images) and one to score on.

    Raises:
        UsageError: `attributes` or `class_column` names what the data set does not have.
        DataError: no attributes, a single class, an empty split, or no known label.
    """
    outputs = classified_labels(config, labels)
    return AttributeClassification(config, outputs, image_size, train, validation, flip=flip, limit=limit)


def classified_labels(config: Config, labels: LabelSchema) -> tuple[str, ...]:
    """What the network's outputs stand for: attributes, or the classes of `class_column`.

    Raises:
        UsageError: an attribute or class column that `labels` does not have, or both asked for.
        DataError: no attributes, or fewer than two classes.
    """
    column = config.class_column
    if column is None:
        return classified_attributes(config, labels)
    if config.attributes is not None:
        raise UsageError("task.attributes and task.class_column exclude each other: leave one out.")
    if column not in labels.classes:
        raise UsageError(
            f"task.class_column names '{column}', which the data set does not have."
            f"{did_you_mean(column, labels.classes)}",
            hint=f"Its class columns: {', '.join(labels.classes) or 'none'}. "
            "Choose one with --set task.class_column=NAME.",
        )
    if len(labels.classes[column]) < 2:
        raise DataError(f"'{column}' has a single class, so there is nothing to tell apart.")
    return labels.classes[column]


def classified_attributes(config: Config, labels: LabelSchema) -> tuple[str, ...]:
    """The attributes that the network answers, in the order of its outputs.

    Raises:
        UsageError: an attribute that `labels` does not have.
        DataError: there are no attributes.
    """
    chosen = labels.attributes if config.attributes is None else config.attributes
    for name in chosen:
        if name not in labels.attributes:
            raise UsageError(
                f"task.attributes names '{name}', which the data set does not have."
                f"{did_you_mean(name, labels.attributes)}",
                hint=f"Its attributes: {', '.join(labels.attributes) or 'none'}.",
            )
    if not chosen:
        raise DataError(
            "The data set has no yes/no attributes, so there is nothing to classify.",
            hint="Prepare it from a source with attributes (celeba, avatars, image-folder with metadata).",
        )
    return tuple(chosen)


def build_network(config: Config, num_attributes: int, image_size: int) -> MultiLabelResNet:
    """The untrained network for images of `image_size` pixels a side."""
    return MultiLabelResNet(
        num_attributes,
        image_size,
        widths=config.widths,
        blocks_per_stage=config.blocks_per_stage,
    )


def attribute_targets(frame: pd.DataFrame, attributes: tuple[str, ...]) -> Tensor:
    """Labels (N, A) float32: 1 yes, 0 no, NaN unknown."""
    columns = [frame[name].astype("Float32").to_numpy(np.float32, na_value=np.nan) for name in attributes]
    return torch.from_numpy(np.stack(columns, axis=1))


class AttributeClassification:
    """`TrainingTask` that minimises binary cross-entropy over the known labels.

    `attributes` is what the outputs stand for: attributes, or the classes of `config.class_column`.
    """

    def __init__(
        self,
        config: Config,
        attributes: tuple[str, ...],
        image_size: int,
        train: DatasetSplit,
        validation: DatasetSplit,
        *,
        flip: bool = False,
        limit: int | None = None,
    ) -> None:
        self.config = config
        self.attributes = attributes
        self.image_size = image_size
        self.flip = flip
        self._train, self._validation = train, validation
        for name, split in (("training", train), ("validation", validation)):
            if len(split.frame) == 0:
                raise DataError(
                    f"The {name} split is empty, and the classifier needs it.",
                    hint="Prepare the data set again with other --splits, or name another split with "
                    "--set data.train_split=... or data.validation_split=...",
                )
        self._targets = self._targets_of(train.frame)[:limit]
        self._held_out = self._targets_of(validation.frame)
        self.num_examples = len(self._targets)
        known = ~torch.isnan(self._targets)
        self._known_share = float(known.float().mean())
        if self._known_share == 0 or bool(torch.isnan(self._held_out).all()):
            what = "class" if config.class_column else "attribute"
            raise DataError(f"Every {what} is unknown in the training or the validation split.")
        self._rates = _positive_rates(self._targets)

    def _targets_of(self, frame: pd.DataFrame) -> Tensor:
        """(N, A) float32: 1 yes, 0 no, NaN unknown."""
        if self.config.class_column is None:
            return attribute_targets(frame, self.attributes)
        return class_targets(frame[self.config.class_column], self.attributes)

    def build_module(self) -> nn.Module:
        network = build_network(self.config, len(self.attributes), self.image_size)
        with torch.no_grad():  # start from the base rates instead of learning them first
            network.head.bias.copy_(torch.logit(self._rates))
        return network

    def batch(self, indices: Tensor, generator: Generator) -> Batch:
        images = self._train.images(indices)
        if self.flip:
            mirrored = torch.rand(len(indices), generator=generator) < 0.5
            images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        if self.config.max_shift_pixels:
            images = _shifted(images, self.config.max_shift_pixels, generator)
        return {"images": images, "targets": self._targets[indices]}

    def losses(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        logits = module(to_unit(batch["images"])).float()
        targets = batch["targets"]
        known = ~torch.isnan(targets)
        targets = torch.nan_to_num(targets)
        losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        if self.config.balance == "inverse_frequency":
            rates = self._rates.to(logits.device)
            weights = torch.where(targets > 0.5, 0.5 / rates, 0.5 / (1 - rates))
            losses = losses * weights.clamp(max=MAX_CLASS_WEIGHT)
        # A constant divisor, not the batch's own count of known labels: micro-batches then add up exactly.
        return {"loss": (losses * known).mean() / self._known_share}

    @torch.no_grad()
    def validate(self, module: nn.Module, device: Any) -> dict[str, Any]:
        was_training = module.training
        module.eval()
        chunks = torch.arange(len(self._held_out)).split(VALIDATION_BATCH_IMAGES)
        parts = [module(to_unit(self._validation.images(chunk).to(device))) for chunk in chunks]
        logits = torch.cat(parts).float().cpu()
        module.train(was_training)
        known = ~torch.isnan(self._held_out)
        losses = F.binary_cross_entropy_with_logits(
            logits, torch.nan_to_num(self._held_out), reduction="none"
        )
        loss = float(losses[known].mean())
        if self.config.class_column is not None:
            return self._class_result(logits, loss)
        scores = multilabel_scores(logits, self._held_out, self.attributes)
        return {
            "loss": loss,
            "accuracy": mean_of(scores, "accuracy"),
            "balanced_accuracy": mean_of(scores, "balanced_accuracy"),
            "auc": mean_of(scores, "auc"),
            "attributes": scores,
            "better_than_trivial": _beats_majority(scores),
            "verdict": verdict(scores, len(logits)),
        }

    def _class_result(self, logits: Tensor, loss: float) -> dict[str, Any]:
        column = self.config.class_column
        assert column is not None
        scores = class_scores(logits, self._held_out, self.attributes)
        return {
            "loss": loss,
            **scores,
            "better_than_trivial": scores["accuracy"] > scores["majority"],
            "verdict": class_verdict(scores, column, len(logits)),
        }


def verdict(scores: dict[str, Scores], num_images: int) -> str:
    """One sentence: mean accuracy beside what always giving the commoner answer would score."""
    accuracy, majority = mean_of(scores, "accuracy"), mean_of(scores, "majority")
    if accuracy is None or majority is None:
        raise ValueError("no attribute has a score")
    known = {name: entry["accuracy"] for name, entry in scores.items() if entry["accuracy"] is not None}
    worst = min(known, key=lambda name: known[name] or 0.0)
    sentence = (
        f"{accuracy:.1%} of {len(known)} attributes right on {num_images:,} held-out images "
        f"(always the commoner answer: {majority:.1%}); weakest: {worst} {known[worst]:.1%}."
    )
    return sentence if _beats_majority(scores) else f"No better than always the commoner answer: {sentence}"


def _beats_majority(scores: dict[str, Scores]) -> bool:
    return (mean_of(scores, "accuracy") or 0.0) > (mean_of(scores, "majority") or 0.0)


def _positive_rates(targets: Tensor) -> Tensor:
    """Share of yes among the known labels of each column (A,), with one pseudo-count on either side."""
    known = ~torch.isnan(targets)
    return (torch.nan_to_num(targets).sum(0) + 1) / (known.sum(0) + 2)


def _shifted(images: Tensor, max_shift: int, generator: Generator) -> Tensor:
    """Move each image (B, 3, H, W) by up to `max_shift` whole pixels either way, edges repeated."""
    count, _, height, width = images.shape
    shifts = torch.randint(-max_shift, max_shift + 1, (2, count, 1), generator=generator)
    rows = (torch.arange(height) + shifts[0]).clamp(0, height - 1)  # (B, H)
    columns = (torch.arange(width) + shifts[1]).clamp(0, width - 1)  # (B, W)
    which = torch.arange(count)
    return images.permute(0, 2, 3, 1)[which[:, None, None], rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )
