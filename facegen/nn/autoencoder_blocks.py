"""Convolutional encoder and decoder of an image autoencoder that is cheap enough to train on a CPU.

Shapes: B batch, C latent channels, H/W pixels, h/w latent cells, f = H / h.

The image enters and leaves through pixel (un)shuffle (Shi et al. 2016, arXiv:1609.05158), so no
convolution runs at full resolution, where most of a usual autoencoder's time goes.
"""

from __future__ import annotations

from torch import nn

from facegen.nn.blocks import group_norm, normed, zeroed
from facegen.shapes import Maps


class ResidualBlock(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))))), starting as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        last = zeroed(nn.Conv2d(width, width, 3, padding=1))
        first = nn.Conv2d(width, width, 3, padding=1)
        self.layers = nn.Sequential(*normed(group_norm(width), first), *normed(group_norm(width), last))

    def forward(self, x: Maps) -> Maps:
        return x + self.layers(x)


def build_encoder(out_channels: int, patch_size: int, widths: tuple[int, ...], blocks: int) -> nn.Sequential:
    """Images (B, 3, H, W) -> features (B, out_channels, H/f, W/f), f = patch_size * 2^(levels - 1)."""
    layers: list[nn.Module] = [
        nn.PixelUnshuffle(patch_size),
        nn.Conv2d(3 * patch_size**2, widths[0], 3, padding=1),
    ]
    for level, width in enumerate(widths):
        if level > 0:
            layers += [nn.PixelUnshuffle(2), nn.Conv2d(4 * widths[level - 1], width, 1)]
        layers += [ResidualBlock(width) for _ in range(blocks)]
    last = nn.Conv2d(widths[-1], out_channels, 3, padding=1)
    return nn.Sequential(*layers, *normed(group_norm(widths[-1]), last))


def build_decoder(in_channels: int, patch_size: int, widths: tuple[int, ...], blocks: int) -> nn.Sequential:
    """Latents (B, in_channels, h, w) -> images (B, 3, h * f, w * f); `widths` from fine to coarse."""
    layers: list[nn.Module] = [nn.Conv2d(in_channels, widths[-1], 3, padding=1)]
    for level in reversed(range(len(widths))):
        layers += [ResidualBlock(widths[level]) for _ in range(blocks)]
        if level > 0:
            layers += [nn.Conv2d(widths[level], 4 * widths[level - 1], 1), nn.PixelShuffle(2)]
    last = nn.Conv2d(widths[0], 3 * patch_size**2, 3, padding=1)
    return nn.Sequential(*layers, *normed(group_norm(widths[0]), last), nn.PixelShuffle(patch_size))
