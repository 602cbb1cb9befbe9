"""U-Net over latents or pixels: residual blocks with time everywhere, attention where it is asked for.

Ho et al. 2020 with the adaptive norms of Dhariwal & Nichol 2021 and the cross-attention of Rombach et
al. 2022. Level 0 is full resolution, of patches where there are any; each further level halves it.

Letters: B batch, C channels, H/W rows and columns, L condition tokens, D features, E embedding.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from facegen.config.kinds import KindConfig
from facegen.denoisers._told import time_and_vector, tokens_of
from facegen.errors import UsageError
from facegen.nn.blocks import (
    ACTIVATIONS,
    ActivationKind,
    Downsample,
    NormKind,
    ResidualBlock,
    SpatialAttention,
    Upsample,
    feature_norm,
    zeroed,
)
from facegen.nn.embeddings import TimestepEmbedding
from facegen.types import Conditioning, ConditioningSpec, SampleSpec


class Config(KindConfig):
    """Levels in `self_attention_levels` and `cross_attention_levels` count from 0, full resolution.

    A conditioner's vector is added to the time embedding, which scales and shifts every block's norm.
    """

    kind: Literal["unet"] = "unet"
    patch_size: int = Field(1, ge=1)  # square patches become channels: cheap pixels (Hoogeboom et al. 2023)
    base_channels: int = Field(64, ge=2)
    channel_multipliers: list[int] = Field(default_factory=lambda: [1, 2, 4], min_length=1)
    num_res_blocks: int = Field(2, ge=1)
    self_attention_levels: list[int] = Field(default_factory=lambda: [2])
    cross_attention_levels: list[int] = Field(default_factory=list)
    num_heads: int = Field(4, ge=1)
    norm: NormKind = "group"
    attention_norm: Literal["feature", "layer"] = "feature"  # before attention: as `norm`, or layer norm
    activation: ActivationKind = "silu"
    dropout: float = Field(0.0, ge=0, lt=1)
    gradient_checkpointing: bool = False  # recompute blocks in the backward pass: less memory, more time

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if min(self.channel_multipliers) < 1:
            raise ValueError("channel_multipliers must be positive")
        num_levels = len(self.channel_multipliers)
        for level in [*self.self_attention_levels, *self.cross_attention_levels]:
            if not 0 <= level < num_levels:
                raise ValueError(f"attention level {level} does not exist; levels are 0 to {num_levels - 1}")
            channels = self.base_channels * self.channel_multipliers[level]
            if channels % self.num_heads:
                raise ValueError(
                    f"{channels} channels at level {level} must be divisible by num_heads {self.num_heads}"
                )
        return self


def build(config: Config, sample: SampleSpec, conditioning: ConditioningSpec) -> UNet:
    """A randomly initialised U-Net for `sample`, told what `conditioning` offers.

    Raises:
        UsageError: the sample is no image or cannot be halved often enough, or the conditioner does not
            give what the configuration needs.
    """
    _check(config, sample, conditioning)
    return UNet(sample.shape[0], conditioning.vector_dim, conditioning.token_dim, **config.values())


def _check(config: Config, sample: SampleSpec, conditioning: ConditioningSpec) -> None:
    if len(sample.shape) != 3:
        raise UsageError(
            f"Denoiser 'unet' needs samples (C, H, W), not {sample.shape}.",
            hint="For vectors: --set denoiser.kind=vector_mlp",
        )
    num_levels = len(config.channel_multipliers)
    _, height, width = sample.shape
    _check_size(height, width, config.patch_size, num_levels)
    cells = (height * width) // (config.patch_size**2 * 4 ** (num_levels - 1))
    if config.norm == "instance" and cells == 1:
        raise UsageError(
            f"denoiser.norm 'instance' leaves nothing of the single cell that {height}x{width} has at "
            f"level {num_levels - 1}.",
            hint="Use --set denoiser.norm=group, or fewer channel_multipliers.",
        )
    has_vector, has_tokens = conditioning.vector_dim is not None, conditioning.token_dim is not None
    if has_tokens and not has_vector and not config.cross_attention_levels:
        raise UsageError(
            "The conditioner gives tokens alone, and this U-Net has no cross-attention to read them.",
            hint=f"--set denoiser.cross_attention_levels=[{num_levels - 1}]",
        )
    if has_vector and not has_tokens and config.cross_attention_levels:
        raise UsageError(
            "denoiser.cross_attention_levels needs a conditioner that gives tokens; this one gives a vector.",
            hint="--set denoiser.cross_attention_levels=[]",
        )


def _check_size(height: int, width: int, patch_size: int, num_levels: int) -> None:
    factor = patch_size * 2 ** (num_levels - 1)
    if height % factor or width % factor:
        patches = f" and patches of {patch_size}" if patch_size > 1 else ""
        raise UsageError(
            f"A U-Net of {num_levels} levels{patches} needs height and width divisible by {factor}, "
            f"not {height}x{width}.",
            hint="Use fewer denoiser.channel_multipliers, or another image size.",
        )


class UNet(nn.Module):
    """x_t (B, C, H, W), timestep (B,) in [0, 1000], Conditioning -> (B, C, H, W). Zero at initialisation.

    Any H and W divisible by patch_size * 2^(levels - 1), the size it was built for or another.
    """

    def __init__(
        self,
        sample_channels: int,
        vector_dim: int | None,
        token_dim: int | None,
        *,
        patch_size: int,
        base_channels: int,
        channel_multipliers: Sequence[int],
        num_res_blocks: int,
        self_attention_levels: Collection[int],
        cross_attention_levels: Collection[int],
        num_heads: int,
        norm: NormKind,
        attention_norm: Literal["feature", "layer"],
        activation: ActivationKind,
        dropout: float,
        gradient_checkpointing: bool,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.num_levels = len(channel_multipliers)
        widths = [base_channels * multiplier for multiplier in channel_multipliers]
        embedding_dim, bottom = 4 * widths[0], self.num_levels - 1

        def stage(in_channels: int, level: int) -> Stage:
            crosses = token_dim is not None and level in cross_attention_levels
            block = ResidualBlock(
                in_channels, widths[level], embedding_dim, norm=norm, act=activation, dropout=dropout
            )
            attention = SpatialAttention(
                widths[level],
                num_heads,
                norm="layer" if attention_norm == "layer" else norm,
                self_attention=level in self_attention_levels,
                context_dim=token_dim if crosses else None,
            )
            return Stage(block, attention, gradient_checkpointing)

        self.time = TimestepEmbedding(embedding_dim)
        self.vector_in = None if vector_dim is None else nn.Linear(vector_dim, embedding_dim)
        self.embedding_activation = ACTIVATIONS[activation]()
        # Text encoders differ in scale by orders of magnitude; attention wants features of unit scale.
        self.tokens_norm = None
        if token_dim is not None and cross_attention_levels:
            self.tokens_norm = nn.LayerNorm(token_dim)

        patch_channels = sample_channels * patch_size**2
        self.conv_in = nn.Conv2d(patch_channels, widths[0], 3, padding=1)
        skips, channels = [widths[0]], widths[0]
        self.down, self.downsample = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            stages = nn.ModuleList()
            for _ in range(num_res_blocks):
                stages.append(stage(channels, level))
                channels = width
                skips.append(channels)
            self.down.append(stages)
            if level < bottom:
                self.downsample.append(Downsample(channels))
                skips.append(channels)
        self.middle = nn.ModuleList(stage(channels, bottom) for _ in range(2))
        self.up, self.upsample = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(self.num_levels)):
            stages = nn.ModuleList()
            for _ in range(num_res_blocks + 1):
                stages.append(stage(channels + skips.pop(), level))
                channels = widths[level]
            self.up.append(stages)
            if level > 0:
                self.upsample.append(Upsample(channels))
        self.norm_out = feature_norm(norm, channels)
        self.activation_out = ACTIVATIONS[activation]()
        self.conv_out = zeroed(nn.Conv2d(channels, patch_channels, 3, padding=1))

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        _check_size(x_t.shape[2], x_t.shape[3], self.patch_size, self.num_levels)
        embedding = time_and_vector(self.time, self.vector_in, timestep, conditioning)
        embedding = self.embedding_activation(embedding)  # (B, E)
        context = mask = None
        if self.tokens_norm is not None:
            context, mask = self.tokens_norm(tokens_of(conditioning)), conditioning.token_mask
        x = self.conv_in(F.pixel_unshuffle(x_t, self.patch_size))
        skips = [x]
        for level, stages in enumerate(self.down):
            for stage in _each(stages):
                x = stage(x, embedding, context, mask)
                skips.append(x)
            if level < len(self.downsample):
                x = self.downsample[level](x)
                skips.append(x)
        for stage in self.middle:
            x = stage(x, embedding, context, mask)
        for index, stages in enumerate(self.up):
            for stage in _each(stages):
                x = stage(torch.cat([x, skips.pop()], dim=1), embedding, context, mask)
            if index < len(self.upsample):
                x = self.upsample[index](x)
        return F.pixel_shuffle(self.conv_out(self.activation_out(self.norm_out(x))), self.patch_size)


class Stage(nn.Module):
    """A residual block and its attention; with `recompute` activations are not kept for the backward pass."""

    def __init__(self, block: ResidualBlock, attention: SpatialAttention, recompute: bool) -> None:
        super().__init__()
        self.block = block
        self.attention = attention
        self.recompute = recompute

    def forward(self, x: Tensor, embedding: Tensor, context: Tensor | None, mask: Tensor | None) -> Tensor:
        """Map x (B, C, H, W), embedding (B, E), context (B, L, D), mask (B, L) -> (B, C', H, W)."""
        if self.recompute and self.training and torch.is_grad_enabled():
            return checkpoint(self._run, x, embedding, context, mask, use_reentrant=False)
        return self._run(x, embedding, context, mask)

    def _run(self, x: Tensor, embedding: Tensor, context: Tensor | None, mask: Tensor | None) -> Tensor:
        return self.attention(self.block(x, embedding), context, mask)


def _each(stages: nn.Module) -> nn.ModuleList:
    assert isinstance(stages, nn.ModuleList)
    return stages
