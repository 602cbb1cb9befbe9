"""No compression: the latents are the pixels, so pixel-space diffusion is latent diffusion."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from facegen.config.kinds import KindConfig
from facegen.types import LatentMoments

LOG_VARIANCE = -30.0  # a standard deviation of 3e-7: below half a float16 step of any pixel value


class Config(KindConfig):
    kind: Literal["identity"] = "identity"


class IdentityAutoencoder(nn.Module):
    """`encode` and `decode` hand (B, 3, H, W) through; the variance is a constant next to nothing."""

    downsampling = 1
    latent_channels = 3

    def encode(self, images: Tensor) -> LatentMoments:
        """Images (B, 3, H, W) as mean, log-variance -30."""
        return LatentMoments(images, torch.full_like(images, LOG_VARIANCE))

    def decode(self, latents: Tensor) -> Tensor:
        """The latents (B, 3, H, W) themselves."""
        return latents


def build(config: Config) -> IdentityAutoencoder:
    """The identity autoencoder."""
    return IdentityAutoencoder()
