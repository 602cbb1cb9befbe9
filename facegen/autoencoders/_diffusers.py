"""Wrapping diffusers' autoencoders into facegen's contract."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from facegen.autoencoders._geometry import map_shape
from facegen.shapes import Images, Maps
from facegen.types import LatentMoments

KINDS = {
    "AutoencoderKL": "kl",
    "AutoencoderTiny": "tiny",
    "VQModel": "vq",
}  # diffusers' class -> facegen's kind


class DiffusersAutoencoder(nn.Module):
    """One of `KINDS`; latents are (B, C, H/f, W/f), f = 2^(levels - 1)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.latent_channels: int = model.config.latent_channels

    def latent_shape(self, image_size: int) -> tuple[int, ...]:
        levels = len(self.model.config.block_out_channels)
        return map_shape(self.latent_channels, 2 ** (levels - 1), image_size)

    def encode(self, images: Images) -> LatentMoments:
        encoded = self.model.encode(images)
        if "latents" in encoded:  # of an AutoencoderTiny or a VQModel, which are deterministic
            return LatentMoments.exactly(encoded.latents)
        return LatentMoments(encoded.latent_dist.mean, encoded.latent_dist.logvar)

    def decode(self, latents: Maps) -> Float[Tensor, "B 3 _ _"]:
        return self.model.decode(latents).sample
