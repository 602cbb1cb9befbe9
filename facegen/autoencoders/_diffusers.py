"""Wrapping diffusers' autoencoders into facegen's contract."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from facegen.autoencoders._geometry import map_shape
from facegen.types import LatentMoments


class DiffusersAutoencoder(nn.Module):
    """(B, 3, H, W) in [-1, 1] <-> latents (B, C, H/f, W/f), f = 2^(levels - 1)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.latent_channels: int = model.config.latent_channels

    def latent_shape(self, image_size: int) -> tuple[int, ...]:
        """(C, H/f, W/f)."""
        levels = len(self.model.config.block_out_channels)
        return map_shape(self.latent_channels, 2 ** (levels - 1), image_size)

    def decode(self, latents: Tensor) -> Tensor:
        """Unscaled latents (B, C, h, w) -> images (B, 3, H, W), about [-1, 1]."""
        return self.model.decode(latents).sample


class DiffusersKl(DiffusersAutoencoder):
    """`AutoencoderKL`."""

    def encode(self, images: Tensor) -> LatentMoments:
        """Images (B, 3, H, W) in [-1, 1] -> moments (B, C, H/f, W/f)."""
        posterior = self.model.encode(images).latent_dist
        return LatentMoments(posterior.mean, posterior.logvar)


class DiffusersTiny(DiffusersAutoencoder):
    """`AutoencoderTiny` (TAESD): deterministic, so its log-variance is a constant next to nothing."""

    def encode(self, images: Tensor) -> LatentMoments:
        """Images (B, 3, H, W) in [-1, 1] -> moments (B, C, H/f, W/f) with log-variance -30."""
        return LatentMoments.exactly(self.model.encode(images).latents)


WRAPPERS = {"AutoencoderKL": DiffusersKl, "AutoencoderTiny": DiffusersTiny}
KINDS = {"AutoencoderKL": "kl", "AutoencoderTiny": "tiny"}
