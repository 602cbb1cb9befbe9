"""Distances in a network's feature maps: those a training compares images by, and those that judge.

The network is EfficientNet-Lite0 from the package registry, a random VGG-16 or one with weights by file, from
torch's cache or the hub, or a facegen classifier.
Weights are data: they are read as safetensors or with `weights_only=True`, and nothing in them is run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from facegen.errors import DataError, MissingModelError, UsageError
from facegen.formats.classifier_run import CLASSIFIER_PREFIX, check_image_size, open_classifier
from facegen.formats.files import sha256_of
from facegen.formats.images import to_unit
from facegen.formats.model_folders import hub_file, is_hub_name
from facegen.models.devices import full_float32
from facegen.models.packaged_networks import EFFICIENTNET, efficientnet_blocks, missing_packages
from facegen.models.published_weights import (
    PUBLISHED_LPIPS,
    PUBLISHED_VGG16,
    locate_weights,
    read_weights,
)
from facegen.nn.classifier import MultiLabelResNet
from facegen.nn.perceptual import (
    LPIPS_LAYERS,
    BlockFeatures,
    PerceptualDistance,
    UnitFeatureDistance,
    Vgg16Features,
    load_vgg16,
    lpips_weights,
)
from facegen.protocols import Progress
from facegen.tasks.adversarial_autoencoding import PerceptualConfig

VGG16_LAYERS = ("relu1_2", "relu2_2")  # early ones: most of the detail at a small part of the cost
CLASSIFIER_LAYERS = ("block1", "block2")
EFFICIENTNET_LAYERS = ("block1", "block3", "block5")  # 1/2, 1/4 and 1/8 of the pixels a side
RANDOM_NETWORK = "random_vgg16"
HUB_FILE = "model.safetensors"
LPIPS = "lpips"
TRAINING_OFFLINE = (
    "Offline: --set task.perceptual.network=random_vgg16 needs no file, "
    "task.perceptual.network=classifier:RUN takes an attribute classifier trained by facegen."
)
JUDGING_OFFLINE = (
    "Offline: --distance classifier:RUN measures in the maps of a classifier trained by facegen; without "
    "--distance there are PSNR and SSIM."
)


def named_network(config: PerceptualConfig) -> PerceptualConfig:
    """`config`, with the network that "auto" stands for where facegen is installed as it is here."""
    if config.network != "auto":
        return config
    if missing_packages():
        return config.model_copy(update={"network": RANDOM_NETWORK})
    return config.model_copy(update={"network": EFFICIENTNET, "downscale": 1})


def load_perceptual(config: PerceptualConfig, image_size: int) -> PerceptualDistance | None:
    """The frozen distance to train with that `config` describes; None for "none".

    Raises:
        UsageError: no such layer, or a classifier for images of another size than `image_size` pixels.
        MissingModelError: the weights are not there and not to be had; says how to get them.
        DataError: weights that are damaged, of another network, or would run code.
    """
    config = named_network(config)
    if config.network == "none":
        return None
    if config.network.startswith(CLASSIFIER_PREFIX):
        features = _classifier_maps(config, image_size)
    elif config.network == EFFICIENTNET:
        stem, blocks = efficientnet_blocks()
        features = _built(lambda: BlockFeatures(stem, blocks, config.layers or EFFICIENTNET_LAYERS))
    else:
        features = _built(lambda: Vgg16Features(config.layers or VGG16_LAYERS))
        if config.network == "vgg16":
            _fill(features, _vgg16_weights(config.weights))
    return PerceptualDistance(features, config.downscale)


def _classifier_maps(config: PerceptualConfig, image_size: int) -> nn.Module:
    run = config.network.removeprefix(CLASSIFIER_PREFIX)
    classifier = open_classifier(Path(run), torch.device("cpu"))
    if config.downscale != 1 or classifier.image_size != image_size:
        raise UsageError(
            f"The classifier '{run}' takes images of {classifier.image_size} pixels, not of "
            f"{image_size // config.downscale}.",
            hint="Train one on this data set, and leave task.perceptual.downscale at 1: facegen train "
            "--preset attribute-classifier --data DATASET --run RUN",
        )
    return _built(lambda: _blocks(classifier.network, config.layers or CLASSIFIER_LAYERS))


def _blocks(network: MultiLabelResNet, layers: Sequence[str]) -> BlockFeatures:
    return BlockFeatures(network.stem, [*network.stages], layers)


def _built(build: Callable[[], nn.Module]) -> nn.Module:
    try:
        return build()
    except ValueError as error:
        raise UsageError(f"task.perceptual.layers: {error}.") from error


def _vgg16_weights(given: str | None) -> Path:
    """A file, a hub name's file, or (None) what torch has in its cache."""
    path = PUBLISHED_VGG16.cached if given is None else Path(given).expanduser()
    if path.is_file():
        return path
    if given is not None and is_hub_name(given) and path.suffix not in (".pth", ".safetensors"):
        return hub_file(given, [[HUB_FILE]], "network", TRAINING_OFFLINE)
    raise MissingModelError(
        f"The VGG-16 weights '{path}' do not exist.",
        hint=f"With a network: {PUBLISHED_VGG16.fetch_command}\n"
        f"or name a file or a hub name: --set task.perceptual.weights=PATH\n{TRAINING_OFFLINE}",
    )


def _fill(features: nn.Module, path: Path) -> None:
    assert isinstance(features, Vgg16Features)
    try:
        load_vgg16(features, read_weights(path))
    except ValueError as error:
        raise DataError(
            f"'{path}' are not the weights of torchvision's VGG-16: {error}.",
            hint="Give the state dict of vgg16 (not vgg16_bn, not vgg19).",
        ) from error


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
        vgg16_path = locate_weights("VGG-16", PUBLISHED_VGG16, vgg16_file, progress)
        lpips_path = locate_weights("LPIPS", PUBLISHED_LPIPS, lpips_file, progress)
    except MissingModelError as error:
        raise MissingModelError(
            error.args[0],
            hint="With a connection, fetch both files LPIPS is made of:\n"
            f"  {PUBLISHED_VGG16.fetch_command}\n  {PUBLISHED_LPIPS.fetch_command}\n{JUDGING_OFFLINE}",
        ) from error
    features = Vgg16Features(LPIPS_LAYERS)
    _fill(features, vgg16_path)
    try:
        weights = lpips_weights(read_weights(lpips_path))
    except ValueError as error:
        raise DataError(f"'{lpips_path}' are not LPIPS's weights for VGG-16: {error}.") from error
    fingerprint = f"lpips-vgg16:{sha256_of(lpips_path)[:16]}:{sha256_of(vgg16_path)[:16]}:no-resize"
    return _judge("LPIPS", fingerprint, UnitFeatureDistance(features, weights), device)


def _in_classifier(run: Path, image_size: int, device: torch.device) -> PerceptualJudge:
    classifier = open_classifier(run, device)
    check_image_size(f"The classifier '{run}'", classifier.image_size, image_size)
    blocks = [f"block{number + 1}" for number in range(len(classifier.network.stages))]
    distance = UnitFeatureDistance(_blocks(classifier.network, blocks))
    fingerprint = f"classifier-maps:{classifier.fingerprint[:16]}:no-resize"
    return _judge(f"feature distance, {CLASSIFIER_PREFIX}{run.name}", fingerprint, distance, device)


def _judge(name: str, fingerprint: str, network: nn.Module, device: torch.device) -> PerceptualJudge:
    network.to(device)

    @full_float32()
    @torch.inference_mode()
    def distance(images: Tensor, others: Tensor) -> Tensor:
        return network(to_unit(images.to(device)), to_unit(others.to(device))).cpu()

    return PerceptualJudge(name, fingerprint, distance)
