"""An attribute classifier trained by facegen, opened as a judge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facegen.config.kinds import kind_config
from facegen.formats.classifier_run import check_image_size, open_classifier
from facegen.formats.images import to_unit
from facegen.models.devices import full_float32
from facegen.nn.calibration import Calibration, calibration_of
from facegen.nn.classifier import MultiLabelResNet
from facegen.tasks.attribute_classification import classified_labels


@dataclass(frozen=True)
class FaceClassifier:
    """Tells `attributes`, or the classes of `class_column`, of images of `image_size` pixels a side.

    A classifier of classes has no `attributes` but `classes`, in the order of its outputs. `held_out` holds
    its validation scores by attribute or class (see `calibrated_scores`); `fingerprint` is the sha256 of its
    weights; `accuracy` its mean share of right answers on held-out images, where that is known.
    """

    network: MultiLabelResNet
    calibration: Calibration
    attributes: tuple[str, ...]
    image_size: int
    fingerprint: str
    held_out: dict[str, dict[str, Any]]
    device: torch.device
    class_column: str | None = None
    classes: tuple[str, ...] = ()
    accuracy: float | None = None

    def logits(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) -> calibrated log likelihood ratios of yes to no, (B, A) or (B, classes).

        Positive means yes, whatever share of the training images had it.

        Raises:
            UsageError: images of another size than it was trained on.
        """
        return self.calibration.evidence(self._plain_logits(images))

    def probabilities(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) -> calibrated probabilities of yes (B, A) or (B, classes), on the CPU.

        They hold for images in which yes is as frequent as in the images it was calibrated on.

        Raises:
            UsageError: images of another size than it was trained on.
        """
        return self.calibration.probabilities(self._plain_logits(images))

    @full_float32()
    @torch.inference_mode()
    def _plain_logits(self, images: Tensor) -> Tensor:
        return self.network(self._checked(images)).float().cpu()

    @full_float32()
    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) -> pooled features (B, D) on the CPU.

        Raises:
            UsageError: images of another size than it was trained on.
        """
        return self.network.features(self._checked(images)).float().cpu()

    def _checked(self, images: Tensor) -> Tensor:
        for side in images.shape[-2:]:
            check_image_size("The classifier", self.image_size, side)
        return to_unit(images.to(self.device))


def load_classifier(run: Path, device: torch.device) -> FaceClassifier:
    """Open a classifier's run or checkpoint, with its averaged weights.

    Raises:
        MissingModelError, UsageError, StorageError: as `open_classifier`.
    """
    opened = open_classifier(run, device)
    info = opened.info
    config = kind_config("tasks", info.recipe["task"])
    outputs = classified_labels(config, info.labels)
    by_class = config.class_column is not None
    held_out = info.metrics.get("classes" if by_class else "attributes", {})
    return FaceClassifier(
        network=opened.network,
        attributes=() if by_class else outputs,
        classes=outputs if by_class else (),
        class_column=config.class_column,
        image_size=opened.image_size,
        fingerprint=opened.fingerprint,
        held_out=held_out,
        calibration=calibration_of(held_out, outputs),
        accuracy=info.metrics.get("accuracy"),
        device=device,
    )
