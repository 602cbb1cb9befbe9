"""Encoder and decoder between a square image and one vector.

Maps stay in torch's default layout: with channels last, group norm is up to 20 times slower on a CPU.

Letters: B batch, C channels, H pixels a side, h cells a side of the coarsest map, D vector entries.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegen.nn.autoencoder_blocks import ResidualBlock
from facegen.nn.blocks import SpatialAttention, feature_norm, normed, zeroed
from facegen.shapes import Maps, Vectors

ATTENTION_CELLS = 8  # a side: larger maps are left to convolutions


class ResidualDown(nn.Module):
    """A strided residual branch beside an averaged skip."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.skip = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(in_channels, out_channels, 1))
        self.branch = _branch(nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1))

    def forward(self, x: Maps) -> Float[Tensor, "B out H//2 W//2"]:
        return self.skip(x) + self.branch(x)


class ResidualUp(nn.Module):
    """A transposed convolution beside an interpolated skip."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.skip = nn.Conv2d(in_channels, out_channels, 1)
        up = smooth_upsampling(nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1))
        self.branch = _branch(up)

    def forward(self, x: Maps) -> Float[Tensor, "B out 2*H 2*W"]:
        skip = F.interpolate(self.skip(x), scale_factor=2.0, mode="bilinear", align_corners=False)
        return skip + self.branch(x)


def _branch(resize: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    """`resize` and a 3x3 convolution that starts at zero, norm and activation before each."""
    width = resize.out_channels
    last = zeroed(nn.Conv2d(width, width, 3, padding=1))
    first_norm, last_norm = feature_norm("group", resize.in_channels), feature_norm("group", width)
    return nn.Sequential(*normed(first_norm, resize), *normed(last_norm, last))


class VectorEncoder(nn.Module):
    """Images -> vectors of `out_dim`; `widths` from fine to coarse, H = h * 2^len(widths).

    Maps of 8 cells a side and fewer attend to themselves.
    """

    def __init__(self, image_size: int, widths: Sequence[int], blocks: int, heads: int, out_dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, stride=2, padding=1)]
        cells = image_size // 2
        for level, width in enumerate(widths):
            if level > 0:
                layers.append(ResidualDown(widths[level - 1], width))
                cells //= 2
            layers += [ResidualBlock(width) for _ in range(blocks)]
            if cells <= ATTENTION_CELLS:
                layers.append(
                    SpatialAttention(width, heads, norm="group", self_attention=True, context_dim=None)
                )
        layers += [feature_norm("group", widths[-1]), nn.SiLU()]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1] * cells**2, out_dim)

    def forward(self, images: Float[Tensor, "B 3 H H"]) -> Vectors:
        return self.head(self.layers(images).flatten(1))


class VectorDecoder(nn.Module):
    """Vectors -> images, about [-1, 1]; `widths` from fine to coarse."""

    def __init__(self, image_size: int, widths: Sequence[int], blocks: int, in_dim: int) -> None:
        super().__init__()
        self.cells = image_size // 2 ** len(widths)
        self.head = nn.Linear(in_dim, widths[-1] * self.cells**2)
        layers: list[nn.Module] = []
        for level in reversed(range(len(widths))):
            layers += [ResidualBlock(widths[level]) for _ in range(blocks)]
            if level > 0:
                layers.append(ResidualUp(widths[level], widths[level - 1]))
        last = smooth_upsampling(nn.ConvTranspose2d(widths[0], 3, 4, stride=2, padding=1))
        self.layers = nn.Sequential(*layers, *normed(feature_norm("group", widths[0]), last))

    def forward(self, vectors: Vectors) -> Float[Tensor, "B 3 H H"]:
        cells = self.head(vectors).unflatten(1, (-1, self.cells, self.cells))  # (B, C, h, h)
        return self.layers(cells)


@torch.no_grad()
def smooth_upsampling(layer: nn.ConvTranspose2d) -> nn.ConvTranspose2d:
    """The layer (kernel 4, stride 2), set to mix channels by its random weights and interpolate bilinearly.

    Independent weights for neighbouring pixels would start as a checkerboard that has to be unlearned
    (Aitken et al. 2017, arXiv:1707.02937).
    """
    profile = torch.tensor([0.25, 0.75, 0.75, 0.25])
    mix = layer.weight[:, :, :1, :1].clone()  # (in, out, 1, 1)
    layer.weight.copy_(2 * mix * profile[:, None] * profile)  # x 2: the variance that random taps would give
    return layer
