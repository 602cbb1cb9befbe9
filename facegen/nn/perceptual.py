"""Distances of two images in the feature maps of a network: to train with, and to judge with.

The first is that of Johnson et al. 2016 (arXiv:1603.08155), the second LPIPS of Zhang et al. 2018
(arXiv:1801.03924).

Letters: B batch, C channels, H/W rows and columns of a map.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor, nn

from facegen.shapes import Images, Maps

VGG16_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RANDOM_SEED = 2103_10571  # fixed: the random network is the same in every run
SMALLEST_ACTIVATION = 1e-3  # keeps a map that is nearly all zeros from counting without bound
LPIPS_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")  # of VGG-16
SMALLEST_NORM = 1e-10  # the published code's
utils: Any = nn.utils  # torch has no types for it
MapsOfLayers = list[Float[Tensor, "B _ _ _"]]


class PerceptualDistance(nn.Module):
    """How far one batch of images is from another, with gradients to the other alone.

    Per map the mean absolute difference over the target's own mean absolute activation, so that a network
    of any scale weighs the same; the mean over maps. Images are averaged over `downscale`^2 pixels first.
    """

    def __init__(self, features: nn.Module, downscale: int = 1) -> None:
        super().__init__()
        self.features = features.eval().requires_grad_(False)
        self.downscale = downscale

    def forward(self, target: Images, other: Images) -> Float[Tensor, " B"]:
        with torch.no_grad():
            wanted = self._maps(target)
        distances = [
            (a - b).abs().flatten(1).mean(1).float()
            / a.abs().flatten(1).mean(1).float().clamp_min(SMALLEST_ACTIVATION)
            for a, b in zip(wanted, self._maps(other), strict=True)
        ]
        return torch.stack(distances).mean(0)

    def _maps(self, images: Images) -> MapsOfLayers:
        if self.downscale > 1:
            images = F.avg_pool2d(images, self.downscale)
        return self.features(images)


class UnitFeatureDistance(nn.Module):
    """How far two batches of images are apart.

    Feature vectors are scaled to length one at each place (eq. 1 of the paper), their squared differences
    weighted per channel, summed over channels, averaged over places and summed over maps. Without
    `channel_weights` all weights are 1 over the number of maps.
    """

    def __init__(
        self, features: nn.Module, channel_weights: Sequence[Float[Tensor, " _"]] | None = None
    ) -> None:
        super().__init__()
        self.features = features.eval().requires_grad_(False)
        self.channel_weights = (
            None if channel_weights is None else [weight.float() for weight in channel_weights]
        )

    def forward(self, one: Images, other: Images) -> Float[Tensor, " B"]:
        distances: list[Tensor] = []
        for index, (a, b) in enumerate(zip(self.features(one), self.features(other), strict=True)):
            squared = (_unit(a.float()) - _unit(b.float())).square()  # (B, C, H, W)
            if self.channel_weights is not None:
                squared = squared * self.channel_weights[index].to(squared.device).view(1, -1, 1, 1)
            distances.append(squared.sum(1).mean((1, 2)))
        total = torch.stack(distances)
        return total.sum(0) if self.channel_weights is not None else total.mean(0)


def lpips_weights(state: Mapping[str, Tensor]) -> list[Float[Tensor, " _"]]:
    """The channel weights of each map, from the published state dict of LPIPS on VGG-16.

    Raises:
        ValueError: a weight is missing or of another shape; says which.
    """
    channels = enumerate(widths[-1] for widths in VGG16_BLOCKS)
    shapes = {f"lin{index}.model.1.weight": (1, width, 1, 1) for index, width in channels}
    return [weight.flatten() for weight in _checked(state, shapes).values()]


def _checked(state: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The tensors of these names, in float32."""
    for name, shape in shapes.items():
        if name not in state:
            raise ValueError(f"'{name}' is missing")
        if state[name].shape != torch.Size(shape):
            raise ValueError(f"'{name}' is {tuple(state[name].shape)}, not {tuple(shape)}")
    return {name: state[name].float() for name in shapes}


def _unit(maps: Maps) -> Maps:
    return maps / (maps.square().sum(1, keepdim=True).sqrt() + SMALLEST_NORM)


class Vgg16Features(nn.Module):
    """Images -> the maps named in `layers` ("relu1_2": block 1, convolution 2).

    Simonyan & Zisserman 2015 (arXiv:1409.1556), cut after the deepest map asked for. Parameter names are
    torchvision's. Fresh weights are drawn from a fixed seed: random features serve as well, at no download
    (Liu et al. 2021, arXiv:2103.10571).

    Raises:
        ValueError: no layers, or one that VGG-16 does not have.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, layers: Sequence[str]) -> None:
        super().__init__()
        names = vgg16_layers()
        unknown = [layer for layer in layers if layer not in names]
        if unknown or not layers:
            raise ValueError(f"VGG-16 has the layers {', '.join(names)}, not {', '.join(unknown) or 'none'}")
        self.taken = frozenset(names[layer] for layer in layers)
        modules: list[nn.Module] = []
        previous = 3
        for block in VGG16_BLOCKS:
            for width in block:
                modules += [utils.skip_init(nn.Conv2d, previous, width, 3, padding=1), nn.ReLU()]
                previous = width
            modules.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*modules[: max(self.taken) + 1])
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self._draw_weights()

    def forward(self, images: Images) -> MapsOfLayers:
        return _maps(self.features, ((images + 1) / 2 - self.mean) / self.std, self.taken)

    @torch.no_grad()
    def _draw_weights(self) -> None:
        generator = Generator().manual_seed(RANDOM_SEED)
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)


def vgg16_layers() -> dict[str, int]:
    """Names of VGG-16's maps ("relu1_1" ... "relu5_3") and their place among torchvision's `features`."""
    names: dict[str, int] = {}
    position = 0
    for number, block in enumerate(VGG16_BLOCKS, start=1):
        for convolution in range(1, len(block) + 1):
            names[f"relu{number}_{convolution}"] = position + 1
            position += 2
        position += 1  # the pooling
    return names


def load_vgg16(features: Vgg16Features, state: Mapping[str, Tensor]) -> None:
    """Give the network the weights of a torchvision state dict, whose deeper layers are left out.

    Raises:
        ValueError: a weight is missing or of another shape; says which.
    """
    features.load_state_dict(
        _checked(state, {name: tensor.shape for name, tensor in features.state_dict().items()})
    )


class BlockFeatures(nn.Module):
    """Images -> the maps after those `blocks` behind a `stem` that are named in `layers`, "block1" first.

    Raises:
        ValueError: no layers, or a block that the network does not have.
    """

    def __init__(self, stem: nn.Module, blocks: Sequence[nn.Module], layers: Sequence[str]) -> None:
        super().__init__()
        numbers = [int(match[1]) if (match := re.fullmatch(r"block(\d+)", name)) else 0 for name in layers]
        if not numbers or not all(1 <= number <= len(blocks) for number in numbers):
            raise ValueError(f"this network has the layers block1 to block{len(blocks)}, not {list(layers)}")
        self.stem = stem
        self.stages = nn.Sequential(*blocks[: max(numbers)])
        self.taken = frozenset(number - 1 for number in numbers)

    def forward(self, images: Images) -> MapsOfLayers:
        return _maps(self.stages, self.stem(images), self.taken)


def _maps(layers: nn.Sequential, x: Maps, taken: Collection[int]) -> MapsOfLayers:
    """What the layers numbered `taken`, from 0, give on the way of `x` through all of them."""
    outputs = accumulate(layers, lambda before, layer: layer(before), initial=x)
    return [output for number, output in enumerate(outputs, start=-1) if number in taken]
