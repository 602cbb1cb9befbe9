"""Feature networks that images are judged through: torch-fidelity's, one that pip brings, one with random
weights, or a classifier of facegen's own."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from facegen.compat import guard_torchvision
from facegen.errors import DataError, MissingModelError, UsageError, did_you_mean
from facegen.formats.classifier_run import CLASSIFIER_PREFIX
from facegen.formats.files import sha256_of
from facegen.models.classifier import load_classifier
from facegen.models.devices import full_float32
from facegen.models.packaged_networks import EFFICIENTNET, INPUT_PIXELS, MEAN, SCALE, efficientnet
from facegen.models.published_weights import (
    OFFLINE_HINT,
    PUBLISHED_VGG16,
    PublishedWeights,
    locate_weights,
    read_weights,
)
from facegen.progress import SilentProgress
from facegen.protocols import Progress

CPU = torch.device("cpu")
RANDOM_INCEPTION = "random-inception"
RANDOM_SEED = 20_260_129  # fixed: scores of different runs are comparable


@dataclass(frozen=True)
class FeatureExtractor:
    """uint8 (B, 3, H, W) -> float32 features (B, D) on the CPU.

    `fingerprint` changes with the network, its weights and its resizing: scores with different ones
    cannot be compared. `image_size` is the only size it takes, or None where it resizes itself.
    `class_weights` (K, D) turn features into class logits, where the network tells one class of many.
    """

    name: str
    fingerprint: str
    image_size: int | None
    extract: Callable[[Tensor], Tensor]
    default_batch_size: int = 32
    class_weights: Tensor | None = None

    def __call__(self, images: Tensor) -> Tensor:
        with torch.inference_mode(), full_float32():
            return self.extract(images).float().cpu().clone()


@dataclass(frozen=True)
class _Network:
    """One of torch-fidelity's registered extractors: its name there, layer, input size and weights."""

    registered: str
    layer: str
    resize: str
    published: PublishedWeights


CLIP_DIGEST = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
NETWORKS = {
    "inception": _Network(
        "inception-v3-compat",
        "2048",
        "bilinear-tf1-299",
        PublishedWeights(
            "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
            "weights-inception-2015-12-05-6726825d.pth",
            "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        ),
    ),
    "clip": _Network(
        "clip-vit-b-32",
        "clip",
        "bilinear-tf1-224",
        PublishedWeights(
            f"https://openaipublic.azureedge.net/clip/models/{CLIP_DIGEST}/ViT-B-32.pt",
            CLIP_DIGEST,
            f"clip-vit-b-32-{CLIP_DIGEST}.pt",
        ),
    ),
    "vgg16": _Network("vgg16", "fc2_relu", "bilinear-tf1-224", PUBLISHED_VGG16),
    "dinov2": _Network(
        "dinov2-vit-l-14",
        "dinov2",
        "bilinear-tf1-224",
        PublishedWeights(
            "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
            "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
        ),
    ),
}


def load_extractor(
    name: str,
    weights: Path | None = None,
    device: torch.device = CPU,
    progress: Progress | None = None,
) -> FeatureExtractor:
    """The feature network `name`: inception, clip, vgg16, dinov2, efficientnet-lite0, random-inception or
    `classifier:RUN`.

    Raises:
        UsageError: unknown name, or `weights` where they do not apply.
        MissingModelError: the weights are neither given, cached nor downloadable; no such run or package.
        DataError: a file of weights that is damaged, foreign or would run code.
    """
    if name.startswith(CLASSIFIER_PREFIX):
        if weights is not None:
            raise UsageError("--weights is for the published networks; classifier:RUN has its own.")
        return _classifier_extractor(Path(name.removeprefix(CLASSIFIER_PREFIX)), device)
    if name in (EFFICIENTNET, RANDOM_INCEPTION) and weights is not None:
        raise UsageError(f"--weights is for the published networks; {name} has its own.")
    if name == EFFICIENTNET:
        return _efficientnet_extractor(device)
    if name == RANDOM_INCEPTION:
        return _random_inception_extractor(device)
    if name not in NETWORKS:
        known = (*NETWORKS, EFFICIENTNET, RANDOM_INCEPTION)
        raise UsageError(
            f"Unknown features '{name}'.{did_you_mean(name, known)}",
            hint=f"Allowed: {', '.join(known)}, or {CLASSIFIER_PREFIX}RUN for a facegen classifier.",
        )
    network = NETWORKS[name]
    if name == "dinov2":
        _check_dinov2(network.published, weights)
    path = locate_weights(name, network.published, weights, progress or SilentProgress())
    module = _build(name, network, path).to(device)
    return FeatureExtractor(
        name=name,
        fingerprint=f"{network.registered}:{network.layer}:{sha256_of(path)[:16]}:{network.resize}",
        image_size=None,
        extract=lambda images: module(images.to(device))[0],
        class_weights=module.fc.weight.detach().cpu() if name == "inception" else None,
    )


def _classifier_extractor(run: Path, device: torch.device) -> FeatureExtractor:
    classifier = load_classifier(run, device)
    return FeatureExtractor(
        name=f"{CLASSIFIER_PREFIX}{run.name}",
        fingerprint=f"classifier:{classifier.fingerprint[:16]}:no-resize",
        image_size=classifier.image_size,
        extract=classifier.features,
        default_batch_size=256,
    )


def _efficientnet_extractor(device: torch.device) -> FeatureExtractor:
    """Means over the last maps (B, 1280) of images resized as `INPUT_PIXELS` says, with antialiasing."""
    network, path = efficientnet()
    module: Any = network.to(device)

    def extract(images: Tensor) -> Tensor:
        size = (INPUT_PIXELS, INPUT_PIXELS)
        resized = F.interpolate(images.to(device).float(), size, mode="bicubic", antialias=True)
        x = (resized.clamp(0, 255) - MEAN) / SCALE
        return module.extract_features(x.contiguous(memory_format=torch.channels_last)).mean((2, 3))

    return FeatureExtractor(
        name=EFFICIENTNET,
        fingerprint=f"{EFFICIENTNET}:mean:{sha256_of(path)[:16]}:bicubic-antialias-{INPUT_PIXELS}",
        image_size=None,
        extract=extract,
    )


def _random_inception_extractor(device: torch.device) -> FeatureExtractor:
    """Inception as FID takes it, with weights drawn from a fixed seed: no file, and no idea of what matters
    in a picture (random networks as judges: Naeem et al. 2020, arXiv:2002.09797, section 5)."""
    network = NETWORKS["inception"]
    module = _folded(random_inception()).to(device)
    return FeatureExtractor(
        name=RANDOM_INCEPTION,
        fingerprint=f"{network.registered}:{network.layer}:random-{RANDOM_SEED}:{network.resize}",
        image_size=None,
        extract=lambda images: module(images.to(device))[0],
    )


def random_inception() -> Any:
    """torch-fidelity's Inception with weights that keep the spread of what passes (He et al. 2015)."""
    guard_torchvision()
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
            return None  # its constructor insists on a file of weights

    network = NETWORKS["inception"]
    with tempfile.TemporaryDirectory(prefix="facegen-") as folder, torch.random.fork_rng(devices=[]):
        empty = Path(folder) / "weights.pth"
        torch.save({}, empty)
        module: Any = Untrained(
            network.registered, [network.layer], feature_extractor_weights_path=str(empty)
        )
    generator = torch.Generator().manual_seed(RANDOM_SEED)
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu", generator=generator)
    return module


def _build(name: str, network: _Network, path: Path) -> Any:
    """torch-fidelity's module with the weights at `path`, which are read safely first."""
    guard_torchvision()
    from torch_fidelity.utils import create_feature_extractor

    def create(weights_path: str | None) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit.load, torch.hub
            return create_feature_extractor(
                network.registered,
                [network.layer],
                cuda=False,
                verbose=False,
                feature_extractor_weights_path=weights_path,
            )

    if name == "clip":  # a TorchScript archive, which holds no Python pickle
        try:
            return create(str(path))
        except RuntimeError as error:
            raise DataError(f"'{path}' is not CLIP's published TorchScript file: {_first(error)}") from error
    state = read_weights(path)
    if name == "dinov2":
        return create(None)
    # torch-fidelity unpickles the file it is given; give it one that is known to hold tensors alone.
    with tempfile.TemporaryDirectory(prefix="facegen-") as folder:
        copy = Path(folder) / "weights.pth"
        torch.save(state, copy)
        try:
            return _folded(create(str(copy)))
        except RuntimeError as error:
            raise DataError(f"'{path}' are not weights of {network.registered}: {_first(error)}") from error


def _folded(module: Any) -> Any:
    """The same network with batch norms folded into their convolutions, channels last: 1.5x the rate on a
    CPU, with features equal to 1e-6."""
    for part in module.modules():
        norm = getattr(part, "bn", None)
        if isinstance(norm, nn.BatchNorm2d):
            part.conv = fuse_conv_bn_eval(part.conv, norm)
            part.bn = nn.Identity()
    return module.to(memory_format=torch.channels_last)


def _check_dinov2(published: PublishedWeights, weights: Path | None) -> None:
    """torch-fidelity takes DINOv2's network from torch.hub's cache, which also fetches weights unchecked.

    Raises:
        UsageError: `weights` was given.
        MissingModelError: the repository or the weights are not in torch.hub's cache.
        DataError: the weights there are not the published ones.
    """
    if weights is not None:
        raise UsageError("--weights does not apply to dinov2: torch.hub's cache is where it is read from.")
    repository = Path(torch.hub.get_dir()) / "facebookresearch_dinov2_main"
    if not repository.is_dir() or not published.cached.is_file():
        raise MissingModelError(
            f"DINOv2 is not in torch.hub's cache ('{repository}' and '{published.cached}').",
            hint="With a connection, fetch it:\n"
            "  python -c \"import torch; torch.hub.load('facebookresearch/dinov2', 'dinov2_vitl14')\"\n"
            f"{OFFLINE_HINT}",
        )
    published.check()


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
