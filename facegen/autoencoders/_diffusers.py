"""Wrapping diffusers' autoencoders into facegen's contract."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from facegen.autoencoders._geometry import map_shape
from facegen.types import LatentMoments

CONSTANT_LOG_VARIANCE = -30.0  # for autoencoders without a variance of their own


class DiffusersKl(nn.Module):
    """`AutoencoderKL`: (B, 3, H, W) in [-1, 1] <-> moments (B, C, H/f, W/f)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.latent_channels: int = model.config.latent_channels
        self.downsampling: int = 2 ** (len(model.config.block_out_channels) - 1)

    def latent_shape(self, image_size: int) -> tuple[int, ...]:
        """(C, H/f, W/f)."""
        return map_shape(self.latent_channels, self.downsampling, image_size)

    def encode(self, images: Tensor) -> LatentMoments:
        """Images (B, 3, H, W) in [-1, 1] -> moments (B, C, H/f, W/f)."""
        posterior = self.model.encode(images).latent_dist
        return LatentMoments(posterior.mean, posterior.logvar)

    def decode(self, latents: Tensor) -> Tensor:
        """Unscaled latents (B, C, h, w) -> images (B, 3, H, W), about [-1, 1]."""
        return self.model.decode(latents).sample


class DiffusersTiny(nn.Module):
    """`AutoencoderTiny` (TAESD): deterministic, so its log-variance is a constant next to nothing."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.latent_channels: int = model.config.latent_channels
        self.downsampling: int = 2 ** (len(model.config.encoder_block_out_channels) - 1)

    def latent_shape(self, image_size: int) -> tuple[int, ...]:
        """(C, H/f, W/f)."""
        return map_shape(self.latent_channels, self.downsampling, image_size)

    def encode(self, images: Tensor) -> LatentMoments:
        """Images (B, 3, H, W) in [-1, 1] -> moments (B, C, H/f, W/f) with log-variance -30."""
        mean = self.model.encode(images).latents
        return LatentMoments(mean, torch.full_like(mean, CONSTANT_LOG_VARIANCE))

    def decode(self, latents: Tensor) -> Tensor:
        """Unscaled latents (B, C, h, w) -> images (B, 3, H, W), about [-1, 1]."""
        return self.model.decode(latents).sample


WRAPPERS = {"AutoencoderKL": DiffusersKl, "AutoencoderTiny": DiffusersTiny}
KINDS = {"AutoencoderKL": "kl", "AutoencoderTiny": "tiny"}
