"""Building blocks of the denoisers: MLPs, modulation, residual convolution, resampling, attention over maps.

Letters: B batch, T tokens, L condition tokens, D features, C channels, H/W rows and columns of a map.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from facegen.nn.attention import CrossAttention, SelfAttention
from facegen.shapes import Maps, Vectors

NormKind = Literal["group", "instance"]
ActivationKind = Literal["silu", "relu"]
GROUP_CHANNELS = 8  # channels per normalisation group of `group_norm`
ACTIVATIONS = {"silu": nn.SiLU, "relu": nn.ReLU}
MAX_NORM_GROUPS = 32  # Ho et al. 2020; fewer where channels do not divide


class GeluMlp(nn.Module):
    """(B, T, D) -> (B, T, D) through one hidden layer of GELUs."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.up = nn.Linear(dim, hidden_dim)
        self.down = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class SwiGluMlp(nn.Module):
    """(B, T, D) -> (B, T, D) through a SiLU-gated hidden layer (Shazeer 2020)."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        # Two projections: halves of one would be strided, and their gradients concatenated.
        self.gate = nn.Linear(dim, hidden_dim)
        self.up = nn.Linear(dim, hidden_dim)
        self.down = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """`x * (1 + scale) + shift`; shift and scale (B, 1, D) broadcast over tokens, (B, C, 1, 1) over a map."""
    return torch.addcmul(shift, x, 1 + scale)


def feature_norm(kind: NormKind, channels: int) -> nn.GroupNorm:
    """Group norm of up to 32 groups, or instance norm (a group per channel), with learned scale and shift."""
    if kind == "instance":
        return nn.GroupNorm(channels, channels)
    groups = max(g for g in range(1, MAX_NORM_GROUPS + 1) if channels % g == 0)
    return nn.GroupNorm(groups, channels)


def group_norm(channels: int) -> nn.GroupNorm:
    """Group norm over groups of 8 channels, or one group where 8 does not divide."""
    return nn.GroupNorm(channels // GROUP_CHANNELS if channels % GROUP_CHANNELS == 0 else 1, channels)


def normed(norm: nn.Module, conv: nn.Module) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Layers of a pre-activation convolution: norm, SiLU, convolution (He et al. 2016, arXiv:1603.05027)."""
    return norm, nn.SiLU(), conv


class ResidualBlock(nn.Module):
    """(B, in, H, W) and the embedding of time and condition (B, E) -> (B, out, H, W).

    Two norm-activation-convolutions; the second norm is scaled and shifted by the embedding (FiLM,
    Perez et al. 2018; Dhariwal & Nichol 2021's adaptive group norm). The last convolution starts at zero.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embedding_dim: int,
        *,
        norm: NormKind,
        act: ActivationKind,
        dropout: float,
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[act]()
        self.norm_in = feature_norm(norm, in_channels)
        self.conv_in = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.embedding = nn.Linear(embedding_dim, 2 * out_channels)
        self.norm_out = feature_norm(norm, out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = zeroed(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.skip = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Maps, embedding: Vectors) -> Float[Tensor, "B out H W"]:
        shift, scale = self.embedding(embedding)[:, :, None, None].chunk(2, dim=1)  # (B, out, 1, 1)
        hidden = self.conv_in(self.activation(self.norm_in(x)))
        hidden = self.activation(modulate(self.norm_out(hidden), shift, scale))
        return self.skip(x) + self.conv_out(self.dropout(hidden))


class Downsample(nn.Module):
    """(B, C, H, W) -> (B, C, H/2, W/2) by a strided 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Maps) -> Float[Tensor, "B C h w"]:
        return self.conv(x)


class Upsample(nn.Module):
    """(B, C, H, W) -> (B, C, 2 H, 2 W): nearest neighbours, then a 3x3 convolution against their blocks."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Maps) -> Float[Tensor, "B C 2*H 2*W"]:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class SpatialAttention(nn.Module):
    """Cells of a map (B, C, H, W) attend to each other, and to condition tokens (B, L, context_dim).

    Either part may be absent; both start as the identity. Norm "layer" is over each cell's channels.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        *,
        norm: NormKind | Literal["layer"],
        self_attention: bool,
        context_dim: int | None,
    ) -> None:
        super().__init__()
        self.attention = self.cross_attention = None
        if self_attention:
            self.norm = _attention_norm(norm, channels)
            self.attention = SelfAttention(channels, num_heads)
            zeroed(self.attention.out)
        if context_dim is not None:
            self.cross_norm = _attention_norm(norm, channels)
            self.cross_attention = CrossAttention(channels, context_dim, num_heads)
            zeroed(self.cross_attention.out)

    def forward(
        self,
        x: Maps,
        context: Float[Tensor, "B L E"] | None = None,
        mask: Bool[Tensor, "B L"] | None = None,
    ) -> Maps:
        if self.attention is not None:
            x = x + _as_map(self.attention(_as_tokens(self.norm(x))), x)
        if self.cross_attention is not None and context is not None:
            x = x + _as_map(self.cross_attention(_as_tokens(self.cross_norm(x)), context, mask), x)
        return x


class CellNorm(nn.LayerNorm):
    """Layer norm over the channels of each cell of a map (B, C, H, W)."""

    def forward(self, input: Maps) -> Maps:
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


def _attention_norm(kind: NormKind | Literal["layer"], channels: int) -> nn.Module:
    return CellNorm(channels) if kind == "layer" else feature_norm(kind, channels)


def zeroed(module: nn.Module) -> nn.Module:
    """The module with all its parameters set to zero."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def _as_tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)  # (B, H W, C)


def _as_map(tokens: Tensor, like: Tensor) -> Tensor:
    return tokens.transpose(1, 2).reshape(like.shape)  # (B, C, H, W)
