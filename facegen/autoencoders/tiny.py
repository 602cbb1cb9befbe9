"""diffusers' `AutoencoderTiny` (TAESD, github.com/madebyollin/taesd): small and deterministic."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from facegen.autoencoders._diffusers import DiffusersAutoencoder
from facegen.compat import guard_torchvision
from facegen.config.kinds import KindConfig

Width = Annotated[int, Field(ge=1)]
Blocks = Annotated[int, Field(ge=1)]


class Config(KindConfig, frozen=True):
    """Names and meanings are diffusers'; defaults are the architecture of madebyollin/taesd."""

    kind: Literal["tiny"] = "tiny"
    latent_channels: int = Field(default=4, ge=1)
    encoder_block_out_channels: tuple[Width, ...] = Field(default=(64, 64, 64, 64), min_length=1)
    decoder_block_out_channels: tuple[Width, ...] = Field(default=(64, 64, 64, 64), min_length=1)
    num_encoder_blocks: tuple[Blocks, ...] = (1, 3, 3, 3)
    num_decoder_blocks: tuple[Blocks, ...] = (3, 3, 3, 1)

    @model_validator(mode="after")
    def _same_levels(self) -> Config:
        levels = {
            len(self.encoder_block_out_channels),
            len(self.decoder_block_out_channels),
            len(self.num_encoder_blocks),
            len(self.num_decoder_blocks),
        }
        if len(levels) > 1:
            raise ValueError(
                "the widths and block counts of encoder and decoder need one entry per level each"
            )
        return self


def build(config: Config) -> DiffusersAutoencoder:
    """A tiny autoencoder with fresh weights; H / h is 2^(levels - 1)."""
    guard_torchvision()
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny

    return DiffusersAutoencoder(AutoencoderTiny(**config.values()))
