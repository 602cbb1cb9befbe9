"""diffusers' `AutoencoderKL`, the autoencoder of Stable Diffusion (Rombach et al. 2022), from scratch.

Published weights are loaded by `facegen.autoencoders.load_autoencoder`; this builds a fresh one.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt

from facegen.autoencoders._diffusers import DiffusersAutoencoder
from facegen.compat import guard_torchvision
from facegen.config.kinds import KindConfig


class Config(KindConfig, frozen=True):
    """Names and meanings are diffusers'; defaults are the architecture of stabilityai/sd-vae-ft-mse."""

    kind: Literal["kl"] = "kl"
    latent_channels: int = Field(default=4, ge=1)
    """Channels of a latent."""
    block_out_channels: tuple[PositiveInt, ...] = Field(default=(128, 256, 512, 512), min_length=1)
    """Channels per level, fine to coarse; each further level halves."""
    layers_per_block: int = Field(default=2, ge=1)
    """Residual blocks per level."""
    norm_num_groups: int = Field(default=32, ge=1)
    """Groups of the group norms."""
    mid_block_add_attention: bool = True
    """Attention at the lowest resolution."""


def build(config: Config) -> DiffusersAutoencoder:
    """A KL autoencoder with fresh weights; H / h is 2^(levels - 1)."""
    guard_torchvision()
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    levels = len(config.block_out_channels)
    blocks: Any = {
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
    }
    return DiffusersAutoencoder(AutoencoderKL(**blocks, **config.values()))
