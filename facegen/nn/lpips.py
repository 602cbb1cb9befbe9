"""Perceptual distance in unit-normalised feature maps (LPIPS; Zhang et al. 2018, arXiv:1801.03924).

Letters: B batch, C channels, H/W rows and columns of a map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from facegen.nn.perceptual import VGG16_BLOCKS

LPIPS_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")  # of VGG-16
SMALLEST_NORM = 1e-10  # the published code's


class UnitFeatureDistance(nn.Module):
    """Two batches of images (B, 3, H, W) in [-1, 1] -> distance (B,).

    Feature vectors are scaled to length one at each place (eq. 1 of the paper), their squared differences
    weighted per channel, summed over channels, averaged over places and summed over maps. Without
    `channel_weights` all weights are 1 over the number of maps.
    """

    def __init__(self, features: nn.Module, channel_weights: Sequence[Tensor] | None = None) -> None:
        super().__init__()
        self.features = features.eval().requires_grad_(False)
        self.channel_weights = (
            None if channel_weights is None else [weight.float() for weight in channel_weights]
        )

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        distances = []
        for index, (a, b) in enumerate(zip(self.features(one), self.features(other), strict=True)):
            squared = (_unit(a.float()) - _unit(b.float())).square()  # (B, C, H, W)
            if self.channel_weights is not None:
                squared = squared * self.channel_weights[index].to(squared.device).view(1, -1, 1, 1)
            distances.append(squared.sum(1).mean((1, 2)))
        total = torch.stack(distances)
        return total.sum(0) if self.channel_weights is not None else total.mean(0)


def lpips_weights(state: Mapping[str, Tensor]) -> list[Tensor]:
    """The channel weights, one (C,) a map, from the published state dict of LPIPS on VGG-16.

    Raises:
        ValueError: a weight is missing or of another shape; says which.
    """
    weights = []
    for index, widths in enumerate(VGG16_BLOCKS):
        name = f"lin{index}.model.1.weight"
        if name not in state:
            raise ValueError(f"'{name}' is missing")
        if state[name].numel() != widths[-1]:
            raise ValueError(f"'{name}' is {tuple(state[name].shape)}, not (1, {widths[-1]}, 1, 1)")
        weights.append(state[name].flatten())
    return weights


def _unit(maps: Tensor) -> Tensor:
    return maps / (maps.square().sum(1, keepdim=True).sqrt() + SMALLEST_NORM)
