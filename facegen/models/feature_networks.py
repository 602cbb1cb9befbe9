"""Feature networks that images are judged through: those of published metrics, one that pip brings, one with
random weights, or a classifier of facegen's own."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from facegen.compat import guard_torchvision
from facegen.errors import DataError, UsageError, did_you_mean
from facegen.formats.classifier_run import CLASSIFIER_PREFIX
from facegen.formats.files import sha256_of
from facegen.metrics import colours_of
from facegen.models.classifier import load_classifier
from facegen.models.devices import full_float32
from facegen.models.dinov2 import dinov2_features
from facegen.models.face_encoder import FACE_ENCODER, FOUND_BY, face_encoder, upright_faces
from facegen.models.packaged_networks import EFFICIENTNET, INPUT_PIXELS, MEAN, SCALE, efficientnet
from facegen.models.published_weights import (
    PUBLISHED_VGG16,
    PublishedWeights,
    locate_weights,
    read_weights,
)
from facegen.models.resizing import bicubic_exact, bicubic_rounded
from facegen.progress import SilentProgress
from facegen.protocols import Progress

CPU = torch.device("cpu")
INCEPTION, CLEAN_INCEPTION = "inception", "inception-clean"
CLIP_336, DINOV2 = "clip-vit-l-14-336", "dinov2"
INCEPTION_PIXELS, CLIP_336_PIXELS = 299, 336
RANDOM_INCEPTION = "random-inception"
WITHOUT_DOWNLOAD = (EFFICIENTNET, RANDOM_INCEPTION, FACE_ENCODER)
RANDOM_SEED = 20_260_129  # fixed: scores of different runs are comparable


@dataclass(frozen=True)
class FeatureExtractor:
    """uint8 (B, 3, H, W) -> float32 features (B, D) on the CPU.

    `fingerprint` changes with the network, its weights and its resizing: scores with different ones
    cannot be compared. `image_size` is the only size it takes, or None where it resizes itself.
    `class_weights` (K, D) turn features into class logits, where the network tells one class of many.
    `published` says that the weights are those that papers use.
    """

    name: str
    fingerprint: str
    image_size: int | None
    extract: Callable[[Tensor], Tensor]
    default_batch_size: int = 32
    class_weights: Tensor | None = None
    published: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        with torch.inference_mode(), full_float32():
            return self.extract(images).float().cpu().clone()


def with_colours(extractor: FeatureExtractor) -> FeatureExtractor:
    """The same with the images' colours behind its features (B, D + 6), from one look."""

    def extract(images: Tensor) -> Tensor:
        return torch.cat([extractor.extract(images).float().cpu(), colours_of(images.cpu())], dim=1)

    return replace(extractor, fingerprint=f"{extractor.fingerprint}:colours", extract=extract)


def colours_alone() -> FeatureExtractor:
    """The colours of images (B, 6)."""
    return FeatureExtractor("colours", "colours", None, colours_of, default_batch_size=256)


@dataclass(frozen=True)
class _Network:
    """A published network: its name at torch-fidelity, layer, resize and weights."""

    registered: str
    layer: str
    resize: str
    published: PublishedWeights


CLIP_DIGEST = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
CLIP_336_DIGEST = "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02"
PUBLISHED_INCEPTION = PublishedWeights(
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
NETWORKS = {
    INCEPTION: _Network("inception-v3-compat", "2048", "bilinear-tf1-299", PUBLISHED_INCEPTION),
    CLEAN_INCEPTION: _Network("inception-v3-compat", "2048", "pillow-bicubic-exact-299", PUBLISHED_INCEPTION),
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
    CLIP_336: _Network(
        "clip-vit-l-14-336px",
        "clip",
        "pillow-bicubic-rounded-336:unit",
        PublishedWeights(
            f"https://openaipublic.azureedge.net/clip/models/{CLIP_336_DIGEST}/ViT-L-14-336px.pt",
            CLIP_336_DIGEST,
            f"clip-vit-l-14-336px-{CLIP_336_DIGEST}.pt",
        ),
    ),
    "vgg16": _Network("vgg16", "fc2_relu", "bilinear-tf1-224", PUBLISHED_VGG16),
    DINOV2: _Network(
        "dinov2-vit-l-14",
        "class-token",
        "pillow-bicubic-rounded-224",
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
    """The feature network `name`: one of `NETWORKS` or of `WITHOUT_DOWNLOAD`, or `classifier:RUN`.

    Raises:
        UsageError: unknown name, or `weights` where they do not apply.
        MissingModelError: the weights are neither given, cached nor downloadable; no such run or package.
        DataError: a file of weights that is damaged, foreign or would run code.
    """
    if name.startswith(CLASSIFIER_PREFIX):
        if weights is not None:
            raise UsageError("--weights is for the published networks; classifier:RUN has its own.")
        return _classifier_extractor(Path(name.removeprefix(CLASSIFIER_PREFIX)), device)
    if name in WITHOUT_DOWNLOAD and weights is not None:
        raise UsageError(f"--weights is for the published networks; {name} has its own.")
    match name:
        case "efficientnet-lite0":
            return _efficientnet_extractor(device)
        case "random-inception":
            return _random_inception_extractor(device)
        case "dlib-face":
            return _face_extractor(device)
    if name not in NETWORKS:
        known = (*NETWORKS, *WITHOUT_DOWNLOAD)
        raise UsageError(
            f"Unknown features '{name}'.{did_you_mean(name, known)}",
            hint=f"Allowed: {', '.join(known)}, or {CLASSIFIER_PREFIX}RUN for a facegen classifier.",
        )
    network = NETWORKS[name]
    path = locate_weights(name, network.published, weights, progress or SilentProgress())
    if weights is None:
        network.published.check()  # torch.hub and others may have put the file there unchecked
    extract, class_weights = _published(name, network, path, device)
    digest = sha256_of(path)
    return FeatureExtractor(
        name=name,
        fingerprint=f"{network.registered}:{network.layer}:{digest[:16]}:{network.resize}",
        image_size=None,
        extract=extract,
        class_weights=class_weights,
        published=digest == network.published.sha256,
    )


def _published(
    name: str, network: _Network, path: Path, device: torch.device
) -> tuple[Callable[[Tensor], Tensor], Tensor | None]:
    """The network's features of images, resized as its metric's authors do, and Inception's class weights."""
    if name == DINOV2:
        return dinov2_features(path, device), None
    module = _build(name, network, path).to(device)
    match name:
        case "inception":
            return lambda images: module(images.to(device))[0], module.fc.weight.detach().cpu()
        case "inception-clean":
            return clean_inception(module, device), None
        case "clip-vit-l-14-336":  # its own resize finds nothing left to do

            def embed(images: Tensor) -> Tensor:
                return F.normalize(module(bicubic_rounded(images, CLIP_336_PIXELS).to(device))[0], dim=1)

            return embed, None
    return lambda images: module(images.to(device))[0], None


def clean_inception(module: Any, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Features (B, 2048) by torch-fidelity's Inception of images resized as clean-fid does, which its own
    entrance, for whole pixel values, would round."""
    trunk = nn.Sequential(*(part for name, part in module.named_children() if name != "fc"))

    def extract(images: Tensor) -> Tensor:
        pixels = bicubic_exact(images, INCEPTION_PIXELS).to(device)
        return trunk((pixels - 128) / 128).flatten(1)

    return extract


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
        default_batch_size=4 if device.type == "cpu" else 32,  # 32 outgrow a CPU's caches: half the rate
    )


def _face_extractor(device: torch.device) -> FeatureExtractor:
    """Vectors (B, 128) of faces, found and turned upright: people, not pictures."""
    encoder, path = face_encoder()
    network = encoder.to(device)
    return FeatureExtractor(
        name=FACE_ENCODER,
        fingerprint=f"{FACE_ENCODER}:{sha256_of(path)[:16]}:{FOUND_BY}",
        image_size=None,
        extract=lambda images: network(upright_faces(images).to(device).float()),
    )


def _random_inception_extractor(device: torch.device) -> FeatureExtractor:
    """Inception as FID takes it, with weights drawn from a fixed seed: no file, and no idea of what matters
    in a picture (random networks as judges: Naeem et al. 2020, arXiv:2002.09797, section 5)."""
    network = NETWORKS["inception"]
    module = folded(random_inception()).to(device)
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

    def create(weights_path: str) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit.load
            return create_feature_extractor(
                network.registered,
                [network.layer],
                cuda=False,
                verbose=False,
                feature_extractor_weights_path=weights_path,
            )

    if name.startswith("clip"):  # a TorchScript archive, which holds no Python pickle
        try:
            return create(str(path))
        except RuntimeError as error:
            raise DataError(f"'{path}' is not CLIP's published TorchScript file: {_first(error)}") from error
    state = read_weights(path)
    # torch-fidelity unpickles the file it is given; give it one that is known to hold tensors alone.
    with tempfile.TemporaryDirectory(prefix="facegen-") as folder:
        copy = Path(folder) / "weights.pth"
        torch.save(state, copy)
        try:
            return folded(create(str(copy)))
        except RuntimeError as error:
            raise DataError(f"'{path}' are not weights of {network.registered}: {_first(error)}") from error


def folded(module: Any) -> Any:
    """The same network with batch norms folded into their convolutions, channels last: 1.5x the rate on a
    CPU, with features equal to 1e-6."""
    for part in module.modules():
        norm = getattr(part, "bn", None)
        if isinstance(norm, nn.BatchNorm2d):
            part.conv = fuse_conv_bn_eval(part.conv, norm)
            part.bn = nn.Identity()
    return module.to(memory_format=torch.channels_last)


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
