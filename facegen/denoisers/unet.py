"""U-Net over latents or pixels: residual blocks with time everywhere, attention where it is asked for.

Ho et al. 2020 with the adaptive norms of Dhariwal & Nichol 2021 and the cross-attention of Rombach et
al. 2022. Level 0 is full resolution, of patches where there are any; each further level halves it.

Letters: B batch, C channels, H/W rows and columns, L condition tokens, D features, E embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils import checkpoint

from facegen.config.kinds import KindConfig
from facegen.denoisers._told import check_attention, check_levels, map_shape, time_and_vector, tokens_of
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
from facegen.shapes import Maps, Times, Tokens, Visible
from facegen.types import UNCONDITIONAL, Conditioning, ConditioningSpec, SampleSpec

LEVELS = "channel_multipliers"  # the option that says how many levels there are

recomputing: Any = checkpoint  # torch has no types for it


class Config(KindConfig, frozen=True):
    """Levels in `self_attention_levels` and `cross_attention_levels` count from 0, full resolution.

    A conditioner's vector is added to the time embedding, which scales and shifts every block's norm.
    """

    kind: Literal["unet"] = "unet"
    patch_size: int = Field(default=1, ge=1)
    """Patches become channels: cheap pixels (Hoogeboom et al. 2023)."""
    base_channels: int = Field(default=64, ge=2)
    """Channels at full resolution, times the first multiplier."""
    channel_multipliers: list[int] = Field(default=[1, 2, 4], min_length=1)
    """Per level, fine to coarse."""
    num_res_blocks: int = Field(default=2, ge=1)
    """Residual blocks per level on the way down; one more on the way up."""
    self_attention_levels: list[int] = Field(default=[2])
    """Where places attend to each other."""
    cross_attention_levels: list[int] = Field(default=[])
    """Where they attend to the conditioner's tokens."""
    num_heads: int = Field(default=4, ge=1)
    """Heads of attention."""
    norm: NormKind = "group"
    """Of the blocks."""
    attention_norm: Literal["feature", "layer"] = "feature"
    """Before attention: as `norm`, or layer norm."""
    activation: ActivationKind = "silu"
    """Of the blocks."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Within the blocks."""
    gradient_checkpointing: bool = False
    """Recompute blocks in the backward pass: less memory, more time."""

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if min(self.channel_multipliers) < 1:
            raise ValueError("channel_multipliers must be positive")
        widths = [self.base_channels * multiplier for multiplier in self.channel_multipliers]
        levels = (*self.self_attention_levels, *self.cross_attention_levels)
        check_attention(widths, levels, self.num_heads, "num_heads")
        return self


class UNet(nn.Module):
    """x_t (B, C, H, W), timestep (B,) in [0, 1000], Conditioning -> (B, C, H, W). Zero at initialisation.

    Any H and W divisible by patch_size * 2^(levels - 1). `width` is of the first level, `multipliers` are
    those of each level; the others are `Config`'s. A condition's vector is `vector_dim` wide, its tokens
    `token_dim`, None where it has none.

    Raises:
        ValueError: an attention level that does not exist, or a width there that the heads do not divide.
    """

    def __init__(
        self,
        channels: int,
        width: int = 64,
        multipliers: Sequence[int] = (1, 2, 4),
        *,
        num_res_blocks: int = 2,
        self_attention_levels: Sequence[int] = (2,),
        cross_attention_levels: Sequence[int] = (),
        num_heads: int = 4,
        norm: NormKind = "group",
        attention_norm: Literal["feature", "layer"] = "feature",
        activation: ActivationKind = "silu",
        dropout: float = 0.0,
        patch_size: int = 1,
        gradient_checkpointing: bool = False,
        vector_dim: int | None = None,
        token_dim: int | None = None,
    ) -> None:
        super().__init__()
        widths = [width * multiplier for multiplier in multipliers]
        check_attention(widths, (*self_attention_levels, *cross_attention_levels), num_heads, "num_heads")
        self.patch_size, self.num_levels = patch_size, len(widths)
        embedding_dim, bottom = 4 * widths[0], self.num_levels - 1

        def stage(in_channels: int, level: int) -> Stage:
            block = ResidualBlock(
                in_channels,
                widths[level],
                embedding_dim,
                norm=norm,
                act=activation,
                dropout=dropout,
            )
            attention = SpatialAttention(
                widths[level],
                num_heads,
                norm="layer" if attention_norm == "layer" else norm,
                self_attention=level in self_attention_levels,
                context_dim=token_dim if level in cross_attention_levels else None,
            )
            return Stage(block, attention, gradient_checkpointing)

        self.time = TimestepEmbedding(embedding_dim)
        self.vector_in = None if vector_dim is None else nn.Linear(vector_dim, embedding_dim)
        self.embedding_activation = ACTIVATIONS[activation]()
        # Text encoders differ in scale by orders of magnitude; attention wants features of unit scale.
        self.tokens_norm = None
        if token_dim is not None and cross_attention_levels:
            self.tokens_norm = nn.LayerNorm(token_dim)

        patch_channels = channels * patch_size**2
        self.conv_in = nn.Conv2d(patch_channels, widths[0], 3, padding=1)
        skips, current = [widths[0]], widths[0]
        self.down, self.downsample = nn.ModuleList(), nn.ModuleList()
        for level, level_width in enumerate(widths):
            stages = nn.ModuleList()
            for _ in range(num_res_blocks):
                stages.append(stage(current, level))
                current = level_width
                skips.append(current)
            self.down.append(stages)
            if level < bottom:
                self.downsample.append(Downsample(current))
                skips.append(current)
        self.middle = nn.ModuleList(stage(current, bottom) for _ in range(2))
        self.up, self.upsample = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(self.num_levels)):
            stages = nn.ModuleList()
            for _ in range(num_res_blocks + 1):
                stages.append(stage(current + skips.pop(), level))
                current = widths[level]
            self.up.append(stages)
            if level > 0:
                self.upsample.append(Upsample(current))
        self.norm_out = feature_norm(norm, current)
        self.activation_out = ACTIVATIONS[activation]()
        self.conv_out = zeroed(nn.Conv2d(current, patch_channels, 3, padding=1))

    def forward(self, x_t: Maps, timestep: Times, conditioning: Conditioning = UNCONDITIONAL) -> Maps:
        check_levels(x_t.shape[2], x_t.shape[3], self.num_levels, LEVELS, self.patch_size)
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

    def forward(
        self,
        x: Maps,
        embedding: Float[Tensor, "B E"],
        context: Tokens | None,
        mask: Visible | None,
    ) -> Float[Tensor, "B out H W"]:
        """Map x (B, C, H, W), embedding (B, E), context (B, L, D), mask (B, L) -> (B, C', H, W)."""
        if self.recompute and self.training and torch.is_grad_enabled():
            return recomputing.checkpoint(self._run, x, embedding, context, mask, use_reentrant=False)
        return self._run(x, embedding, context, mask)

    def _run(self, x: Tensor, embedding: Tensor, context: Tensor | None, mask: Tensor | None) -> Tensor:
        return self.attention(self.block(x, embedding), context, mask)


def build(config: Config, sample: SampleSpec, conditioning: ConditioningSpec) -> UNet:
    """The network for samples and conditions of these shapes.

    Raises:
        UsageError: the sample is no image or cannot be halved often enough, or the conditioner does not
            give what the configuration needs.
    """
    _check(config, sample, conditioning)
    settings = config.values()
    return UNet(
        sample.shape[0],
        settings.pop("base_channels"),
        settings.pop("channel_multipliers"),
        vector_dim=conditioning.vector_dim,
        token_dim=conditioning.token_dim,
        **settings,
    )


def _check(config: Config, sample: SampleSpec, conditioning: ConditioningSpec) -> None:
    _, height, width = map_shape(sample, "unet")
    num_levels = len(config.channel_multipliers)
    check_levels(height, width, num_levels, LEVELS, config.patch_size)
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


def _each(stages: nn.Module) -> nn.ModuleList:
    assert isinstance(stages, nn.ModuleList)
    return stages
