"""Perceptual distances that reconstructions are judged by: LPIPS, or one in a facegen classifier's maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from facegen.errors import DataError, MissingModelError, UsageError
from facegen.formats.files import sha256_of
from facegen.formats.images import to_unit
from facegen.models.classifier import load_classifier
from facegen.models.feature_networks import CLASSIFIER_PREFIX, NETWORKS
from facegen.models.published_weights import PublishedWeights, locate_weights, read_weights
from facegen.nn.lpips import LPIPS_LAYERS, UnitFeatureDistance, lpips_weights
from facegen.nn.perceptual import ClassifierFeatures, Vgg16Features, load_vgg16
from facegen.protocols import Progress

LPIPS = "lpips"
PUBLISHED_LPIPS = PublishedWeights(
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-vgg16-lpips.pth",
    "weights-vgg16-lpips.pth",
    "",
)
OFFLINE_CHOICES = (
    "Offline: --distance classifier:RUN measures in the maps of a classifier trained by facegen; without "
    "--distance there are PSNR and SSIM."
)


@dataclass(frozen=True)
class PerceptualJudge:
    """`distance(images, others)`, uint8 (B, 3, H, W) twice -> (B,); `name` says which, so that no other
    distance passes for LPIPS; `fingerprint` changes with network and weights."""

    name: str
    fingerprint: str
    distance: Callable[[Tensor, Tensor], Tensor]


def load_perceptual_judge(
    name: str,
    device: torch.device,
    progress: Progress,
    *,
    image_size: int,
    lpips_file: Path | None = None,
    vgg16_file: Path | None = None,
) -> PerceptualJudge:
    """The distance `name`: "lpips" (on VGG-16, as torch-fidelity computes it) or `classifier:RUN`.

    Raises:
        UsageError: another name, files where they do not apply, or a classifier of another size.
        MissingModelError: weights that are neither given, cached nor downloadable; says how to get them.
        DataError: damaged or foreign weights.
    """
    if name == LPIPS:
        return _lpips(lpips_file, vgg16_file, device, progress)
    if not name.startswith(CLASSIFIER_PREFIX):
        raise UsageError(f"Unknown distance '{name}'.", hint=f"Allowed: {LPIPS}, or {CLASSIFIER_PREFIX}RUN.")
    if lpips_file is not None or vgg16_file is not None:
        raise UsageError("Files of weights are for --distance lpips; classifier:RUN has its own.")
    return _in_classifier(Path(name.removeprefix(CLASSIFIER_PREFIX)), image_size, device)


def _lpips(
    lpips_file: Path | None, vgg16_file: Path | None, device: torch.device, progress: Progress
) -> PerceptualJudge:
    try:
        vgg16_path = locate_weights("VGG-16", NETWORKS["vgg16"].published, vgg16_file, progress)
        lpips_path = locate_weights("LPIPS", PUBLISHED_LPIPS, lpips_file, progress)
    except MissingModelError as error:
        needed = "\n".join(
            f"  curl -L --create-dirs -o {published.cached} {published.url}"
            for published in (NETWORKS["vgg16"].published, PUBLISHED_LPIPS)
        )
        raise MissingModelError(
            error.args[0],
            hint=f"With a connection, fetch both files LPIPS is made of:\n{needed}\n{OFFLINE_CHOICES}",
        ) from error
    features = Vgg16Features(LPIPS_LAYERS)
    try:
        load_vgg16(features, read_weights(vgg16_path))
    except ValueError as error:
        raise DataError(f"'{vgg16_path}' are not the weights of torchvision's VGG-16: {error}.") from error
    try:
        weights = lpips_weights(read_weights(lpips_path))
    except ValueError as error:
        raise DataError(f"'{lpips_path}' are not LPIPS's weights for VGG-16: {error}.") from error
    fingerprint = f"lpips-vgg16:{sha256_of(lpips_path)[:16]}:{sha256_of(vgg16_path)[:16]}:no-resize"
    return _judge("LPIPS", fingerprint, UnitFeatureDistance(features, weights), device)


def _in_classifier(run: Path, image_size: int, device: torch.device) -> PerceptualJudge:
    classifier = load_classifier(run, device)
    if classifier.image_size != image_size:
        raise UsageError(
            f"The classifier '{run}' was trained on {classifier.image_size} pixels, and these images have "
            f"{image_size}.",
            hint=f"Train one on a data set prepared with --size {image_size}.",
        )
    blocks = [f"block{number + 1}" for number in range(len(classifier.network.stages))]
    distance = UnitFeatureDistance(ClassifierFeatures(classifier.network, blocks))
    fingerprint = f"classifier-maps:{classifier.fingerprint[:16]}:no-resize"
    return _judge(f"feature distance, {CLASSIFIER_PREFIX}{run.name}", fingerprint, distance, device)


def _judge(name: str, fingerprint: str, network: nn.Module, device: torch.device) -> PerceptualJudge:
    network.to(device)

    @torch.inference_mode()
    def distance(images: Tensor, others: Tensor) -> Tensor:
        return network(to_unit(images.to(device)), to_unit(others.to(device))).cpu()

    return PerceptualJudge(name, fingerprint, distance)
