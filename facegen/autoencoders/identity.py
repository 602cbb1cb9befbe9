"""No compression: the latents are the pixels, so pixel-space diffusion is latent diffusion."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from facegen.config.kinds import KindConfig
from facegen.nn.augmentation import LUMA
from facegen.shapes import Images, Maps
from facegen.types import LatentMoments


class Config(KindConfig, frozen=True):
    kind: Literal["identity"] = "identity"
    grey: bool = False
    """One channel of brightness, as Pillow's mode "L"; decoded to three equal ones."""


class IdentityAutoencoder(nn.Module):
    """`encode` hands (B, 3, H, W) through, or gives its brightness (B, 1, H, W); `decode` to three channels.

    The log-variance is -30, next to nothing.
    """

    luma: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.grey = config.grey
        self.register_buffer("luma", torch.tensor(LUMA).view(1, 3, 1, 1), persistent=False)

    def latent_shape(self, image_size: int) -> tuple[int, ...]:
        return 1 if self.grey else 3, image_size, image_size

    def encode(self, images: Images) -> LatentMoments:
        return LatentMoments.exactly((images * self.luma).sum(1, keepdim=True) if self.grey else images)

    def decode(self, latents: Maps) -> Images:
        return latents.expand(-1, 3, -1, -1)


build = IdentityAutoencoder
