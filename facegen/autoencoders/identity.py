"""No compression: the latents are the pixels, so pixel-space diffusion is latent diffusion."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from facegen.config.kinds import KindConfig
from facegen.types import LatentMoments

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's mode "L"


class Config(KindConfig, frozen=True):
    kind: Literal["identity"] = "identity"
    grey: bool = False  # one channel of brightness; decoded to three equal ones


class IdentityAutoencoder(nn.Module):
    """`encode` and `decode` hand (B, 3, H, W) through; the variance is a constant next to nothing."""

    def latent_shape(self, image_size: int) -> tuple[int, ...]:
        """(3, H, W)."""
        return 3, image_size, image_size

    def encode(self, images: Tensor) -> LatentMoments:
        """Images (B, 3, H, W) as mean, log-variance -30."""
        return LatentMoments.exactly(images)

    def decode(self, latents: Tensor) -> Tensor:
        """The latents (B, 3, H, W) themselves."""
        return latents


class GreyAutoencoder(nn.Module):
    """Images (B, 3, H, W) to their brightness (B, 1, H, W), and that to grey images."""

    luma: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("luma", torch.tensor(LUMA).view(1, 3, 1, 1), persistent=False)

    def latent_shape(self, image_size: int) -> tuple[int, ...]:
        """(1, H, W)."""
        return 1, image_size, image_size

    def encode(self, images: Tensor) -> LatentMoments:
        """Brightness (B, 1, H, W) as mean, log-variance -30."""
        grey = (images * self.luma).sum(1, keepdim=True)
        return LatentMoments.exactly(grey)

    def decode(self, latents: Tensor) -> Tensor:
        """Grey images (B, 3, H, W)."""
        return latents.expand(-1, 3, -1, -1)


def build(config: Config) -> IdentityAutoencoder | GreyAutoencoder:
    """The identity autoencoder, in colour or grey."""
    return GreyAutoencoder() if config.grey else IdentityAutoencoder()
