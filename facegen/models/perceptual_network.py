"""The network a perceptual loss compares images through: random, by file, from the hub, or trained here.

Weights are data: they are read as safetensors or with `weights_only=True`, and nothing in them is run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from facegen.errors import DataError, FacegenError, MissingModelError, UsageError
from facegen.models.classifier import load_classifier
from facegen.models.feature_networks import NETWORKS
from facegen.models.published_weights import read_weights
from facegen.nn.perceptual import ClassifierFeatures, PerceptualDistance, Vgg16Features, load_vgg16
from facegen.tasks.adversarial_autoencoding import CLASSIFIER_PREFIX, PerceptualConfig

VGG16_LAYERS = ("relu1_2", "relu2_2")  # early ones: most of the detail at a small part of the cost
CLASSIFIER_LAYERS = ("block1", "block2")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
HUB_FILE = "model.safetensors"
ETAG_TIMEOUT_SECONDS = 5
OFFLINE_CHOICES = (
    "Offline: --set task.perceptual.network=random_vgg16 needs no file, "
    "task.perceptual.network=classifier:RUN takes an attribute classifier trained by facegen."
)


def load_perceptual(config: PerceptualConfig, image_size: int) -> PerceptualDistance | None:
    """The frozen distance that `config` describes for images of `image_size` pixels; None for "none".

    Raises:
        UsageError: no such layer, or a classifier for images of another size.
        MissingModelError: the weights are not there and not to be had; says how to get them.
        DataError: weights that are damaged, of another network, or would run code.
    """
    if config.network == "none":
        return None
    if config.network.startswith(CLASSIFIER_PREFIX):
        features = _classifier(config, image_size)
    else:
        features = _built(lambda: Vgg16Features(config.layers or VGG16_LAYERS))
        if config.network == "vgg16":
            path = _vgg16_weights(config.weights)
            _fill(features, read_weights(path), path)
    return PerceptualDistance(features, config.downscale)


def _classifier(config: PerceptualConfig, image_size: int) -> nn.Module:
    run = config.network.removeprefix(CLASSIFIER_PREFIX)
    classifier = load_classifier(Path(run).expanduser(), torch.device("cpu"))
    if config.downscale != 1 or classifier.image_size != image_size:
        raise UsageError(
            f"The classifier '{run}' takes images of {classifier.image_size} pixels, not of "
            f"{image_size // config.downscale}.",
            hint="Train one on this data set, and leave task.perceptual.downscale at 1: facegen train "
            "--preset attribute-classifier --data DATASET --run RUN",
        )
    return _built(lambda: ClassifierFeatures(classifier.network, config.layers or CLASSIFIER_LAYERS))


def _built(build: Callable[[], nn.Module]) -> nn.Module:
    try:
        return build()
    except ValueError as error:
        raise UsageError(f"task.perceptual.layers: {error}.") from error


def _vgg16_weights(given: str | None) -> Path:
    published = NETWORKS["vgg16"].published
    if given is None:
        if published.cached.is_file():
            return published.cached
        raise MissingModelError(
            f"The VGG-16 weights are not in torch's cache ('{published.cached}').",
            hint=f"With a network: curl -L --create-dirs -o {published.cached} {published.url}\n"
            f"or name a file or a hub name: --set task.perceptual.weights=PATH\n{OFFLINE_CHOICES}",
        )
    path = Path(given).expanduser()
    if path.is_file():
        return path
    if (
        HUB_NAME.fullmatch(given)
        and not given.startswith(".")
        and path.suffix not in (".pth", ".safetensors")
    ):
        return _from_hub(given)
    raise MissingModelError(
        f"task.perceptual.weights '{given}' does not exist.",
        hint=f"torchvision's file: curl -L -o vgg16.pth {published.url}\n{OFFLINE_CHOICES}",
    )


def _from_hub(name: str) -> Path:
    """The cached file of the hub's model `name`, else a fresh one."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, HUB_FILE, local_files_only=True))
    except Exception:  # not cached, in whatever words this version of the hub's client says it
        pass
    try:
        return Path(hf_hub_download(name, HUB_FILE, etag_timeout=ETAG_TIMEOUT_SECONDS))
    except FacegenError:  # a signal's
        raise
    except Exception as error:
        raise MissingModelError(
            f"'{name}' is not on this machine and could not be fetched ({type(error).__name__}); its "
            f"{HUB_FILE} is needed.",
            hint=f"With a network: hf download {name} {HUB_FILE}\n{OFFLINE_CHOICES}",
        ) from error


def _fill(features: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    assert isinstance(features, Vgg16Features)
    try:
        load_vgg16(features, state)
    except ValueError as error:
        raise DataError(
            f"'{path}' are not the weights of torchvision's VGG-16: {error}.",
            hint="Give the state dict of vgg16 (not vgg16_bn, not vgg19).",
        ) from error
