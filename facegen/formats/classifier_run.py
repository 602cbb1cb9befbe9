"""A classifier of faces as `facegen train` left it: "classifier:RUN" opened, and held to its image size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from facegen.errors import StorageError, UsageError
from facegen.formats.checkpoint import CheckpointInfo, load_checkpoint
from facegen.nn.classifier import MultiLabelResNet

CLASSIFIER_PREFIX = "classifier:"
TASK_KIND = "attribute_classification"
HOW_TO_TRAIN = "facegen train --preset attribute-classifier --data DATASET --run RUN"


@dataclass(frozen=True)
class ClassifierRun:
    """A frozen network for images of `image_size` pixels; `fingerprint` is the sha256 of its weights."""

    network: MultiLabelResNet
    image_size: int
    fingerprint: str
    info: CheckpointInfo


def open_classifier(run: Path, device: torch.device) -> ClassifierRun:
    """Open a classifier's run or checkpoint, with its averaged weights.

    Raises:
        MissingModelError: no checkpoint there.
        UsageError: a run of another kind.
        StorageError: a damaged checkpoint.
    """
    checkpoint = load_checkpoint(run.expanduser())
    info = checkpoint.info
    if info.task != TASK_KIND:
        raise UsageError(
            f"'{run}' is a run of kind '{info.task}', and an attribute classifier is needed.",
            hint=f"Train one: {HOW_TO_TRAIN}",
        )
    if info.image_size is None:
        raise StorageError(f"The checkpoint '{checkpoint.folder}' does not say its image size.")
    weights, task = checkpoint.weights("ema"), info.recipe["task"]
    network = MultiLabelResNet(
        len(weights["head.weight"]), info.image_size, task["widths"], task["blocks_per_stage"]
    )
    network.load_state_dict(weights)
    file = "ema.safetensors" if checkpoint.has_ema else "model.safetensors"
    network.to(device).eval().requires_grad_(False)
    return ClassifierRun(network, info.image_size, info.files[file], info)


def check_image_size(
    judge: str, trained_on: int | None, found: int, whose: str = "these images have", hint: str | None = None
) -> None:
    """Refuse to show a `judge` images of `found` pixels; one trained on None takes any.

    Raises:
        UsageError: it was trained on others; `hint` says what to do, or how to train one that fits.
    """
    if trained_on not in (None, found):
        raise UsageError(
            f"{judge} was trained on {trained_on} pixels, and {whose} {found}.",
            hint=hint or f"Train a classifier on a data set prepared with --size {found}: {HOW_TO_TRAIN}",
        )
