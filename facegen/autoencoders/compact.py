"""A small KL autoencoder that trains on a CPU in minutes: 64x64 faces to 16x16x4 latents and back.

Kingma & Welling 2014 (arXiv:1312.6114) with the latent shapes of Rombach et al. 2022
(arXiv:2112.10752), but with pixel shuffle at both ends in place of full-resolution convolutions.
"""

from __future__ import annotations

from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from facegen.autoencoders._geometry import map_shape
from facegen.config.kinds import KindConfig
from facegen.nn.autoencoder_blocks import build_decoder, build_encoder
from facegen.nn.blocks import GROUP_CHANNELS
from facegen.shapes import Images, Maps
from facegen.types import LatentMoments

Width = Annotated[int, Field(ge=GROUP_CHANNELS, multiple_of=GROUP_CHANNELS)]


class Config(KindConfig, frozen=True):
    kind: Literal["compact"] = "compact"
    latent_channels: int = Field(default=4, ge=1)
    """Channels of a latent."""
    downsampling: Literal[2, 4, 8, 16] = 4
    """Side of the image over that of the latent."""
    widths: tuple[Width, ...] = Field((32, 64), min_length=1)
    """Channels per level, fine to coarse; levels are a factor 2 apart."""
    decoder_widths: tuple[Width, ...] | None = Field(default=None, min_length=1)
    """The same of the decoder, where other than the encoder's."""
    encoder_blocks: int = Field(default=1, ge=0)
    """Residual blocks per level."""
    decoder_blocks: int = Field(default=2, ge=0)
    """The same of the decoder."""

    @model_validator(mode="after")
    def _levels_fit(self) -> Config:
        for widths in (self.widths, self.decoder_widths or self.widths):
            if 2 ** (len(widths) - 1) > self.downsampling:
                raise ValueError(f"{len(widths)} widths need a downsampling of {2 ** (len(widths) - 1)}")
        return self


class CompactAutoencoder(nn.Module):
    """`encode` (B, 3, H, W) in [-1, 1] -> moments (B, C, H/f, W/f); `decode` the other way."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.latent_channels, self.downsampling = config.latent_channels, config.downsampling
        widths, decoder_widths = config.widths, config.decoder_widths or config.widths
        self.encoder = build_encoder(
            2 * self.latent_channels, self._patch_size(widths), widths, config.encoder_blocks
        )
        self.decoder = build_decoder(
            self.latent_channels, self._patch_size(decoder_widths), decoder_widths, config.decoder_blocks
        )

    def _patch_size(self, widths: tuple[int, ...]) -> int:
        return self.downsampling // 2 ** (len(widths) - 1)

    def latent_shape(self, image_size: int) -> tuple[int, ...]:
        return map_shape(self.latent_channels, self.downsampling, image_size)

    def encode(self, images: Images) -> LatentMoments:
        return LatentMoments.of_halves(self.encoder(images))

    def decode(self, latents: Maps) -> Float[Tensor, "B 3 {self.downsampling}*H {self.downsampling}*W"]:
        return self.decoder(latents)


build = CompactAutoencoder
