"""diffusers' `AutoencoderTiny` (TAESD, github.com/madebyollin/taesd): small and deterministic."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from facegen.autoencoders._diffusers import DiffusersAutoencoder
from facegen.compat import guard_torchvision
from facegen.config.kinds import KindConfig


class Config(KindConfig, frozen=True):
    """Names and meanings are diffusers'; defaults are the architecture of madebyollin/taesd."""

    kind: Literal["tiny"] = "tiny"
    latent_channels: int = Field(default=4, ge=1)
    """Channels of a latent."""
    encoder_block_out_channels: tuple[PositiveInt, ...] = Field(default=(64, 64, 64, 64), min_length=1)
    """Channels per level of the encoder."""
    decoder_block_out_channels: tuple[PositiveInt, ...] = Field(default=(64, 64, 64, 64), min_length=1)
    """The same of the decoder."""
    num_encoder_blocks: tuple[PositiveInt, ...] = (1, 3, 3, 3)
    """Blocks per level of the encoder."""
    num_decoder_blocks: tuple[PositiveInt, ...] = (3, 3, 3, 1)
    """The same of the decoder."""

    @model_validator(mode="after")
    def _same_levels(self) -> Config:
        widths = (self.encoder_block_out_channels, self.decoder_block_out_channels)
        blocks = (self.num_encoder_blocks, self.num_decoder_blocks)
        if len({len(each) for each in (*widths, *blocks)}) > 1:
            raise ValueError(
                "the widths and block counts of encoder and decoder need one entry per level each"
            )
        return self


def build(config: Config) -> DiffusersAutoencoder:
    """A tiny autoencoder with fresh weights; H / h is 2^(levels - 1)."""
    guard_torchvision()
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny

    return DiffusersAutoencoder(AutoencoderTiny(**config.values()))
