"""U-Net of an attribute-conditioned latent diffusion model: instance norm, ReLU, attention in three places.

Residual blocks of instance norm, ReLU and 3x3 convolution, told the time by an added embedding;
cross-attention to condition tokens at `inc`, `down2` and `bottleneck` (Rombach et al. 2022). Feature maps
with the defaults, for latents of 4x32x32 (`out` gives 4x32x32 again):

    inc         64 x 32 x 32   cross-attention      up2        64 x 32 x 32   after a skip from inc
    down1      128 x 16 x 16                        up1       128 x 16 x 16   after a skip from down1
    down2      256 x  8 x  8   cross-attention      bottleneck 256 x 8 x 8    cross-attention

Letters: B batch, C channels, H/W rows and columns, L condition tokens, D features, E embedding.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from facegen.config.kinds import KindConfig
from facegen.denoisers._told import map_shape, time_and_vector, tokens_of
from facegen.errors import UsageError
from facegen.nn.blocks import Downsample, SpatialAttention, Upsample, feature_norm, zeroed
from facegen.nn.embeddings import TimestepEmbedding
from facegen.shapes import Maps, Times
from facegen.types import Conditioning, ConditioningSpec, SampleSpec

FACTOR = 4  # halved twice on the way down


class Config(KindConfig, frozen=True):
    """Channels double twice from `base_channels`; `time_dim` is the width of the time embedding."""

    kind: Literal["attribute_unet"] = "attribute_unet"
    base_channels: int = Field(default=64, ge=2)
    """Channels at full resolution."""
    num_heads: int = Field(default=4, ge=1)
    """Heads of cross-attention."""
    time_dim: int = Field(default=256, ge=1)
    """Width of the time embedding."""

    @model_validator(mode="after")
    def _divisible(self) -> Config:
        if self.base_channels % self.num_heads:
            raise ValueError(
                f"base_channels {self.base_channels} must be divisible by num_heads {self.num_heads}"
            )
        return self


class AttributeUNet(nn.Module):
    """x_t (B, C, H, W), timestep (B,) in [0, 1000], Conditioning with tokens -> (B, C, H, W).

    Zero at initialisation. Any H and W divisible by 4 that leave more than one cell. A conditioner's vector,
    where it gives one, is added to the time embedding.

    Raises:
        UsageError: the sample is no map, cannot be halved twice or has a single cell then, or the
            conditioner gives no tokens.
    """

    def __init__(self, config: Config, sample: SampleSpec, conditioning: ConditioningSpec) -> None:
        super().__init__()
        sample_channels, height, width = map_shape(sample, "attribute_unet")
        _check_size(height, width)
        if conditioning.token_dim is None:
            raise UsageError(
                "Denoiser 'attribute_unet' attends to condition tokens, and this conditioner gives none.",
                hint="--set conditioner.kind=attributes with conditioner.tokens=true; without attributes, "
                "--set denoiser.kind=unet.",
            )
        base, time_dim, vector_dim = config.base_channels, config.time_dim, conditioning.vector_dim
        middle, top = 2 * base, 4 * base
        self.time = TimestepEmbedding(time_dim)
        self.vector_in = None if vector_dim is None else nn.Linear(vector_dim, time_dim)

        def attending(entry: nn.Module, in_channels: int, channels: int) -> Stage:
            attention = SpatialAttention(
                channels,
                config.num_heads,
                norm="instance",
                self_attention=False,
                context_dim=conditioning.token_dim,
            )
            return Stage(entry, in_channels, channels, time_dim, attention)

        self.inc = attending(nn.Conv2d(sample_channels, base, 3, padding=1), base, base)
        self.down1 = Stage(Downsample(base), base, middle, time_dim)
        self.down2 = attending(Downsample(middle), middle, top)
        self.bottleneck = attending(nn.Identity(), top, top)
        self.up1 = Stage(Upsample(top), top + middle, middle, time_dim)
        self.up2 = Stage(Upsample(middle), middle + base, base, time_dim)
        # No norm before it: instance norm removes every channel's mean, which is what sets the colour.
        self.out = zeroed(nn.Conv2d(base, sample_channels, 1))

    def forward(self, x_t: Maps, timestep: Times, conditioning: Conditioning) -> Maps:
        _check_size(*x_t.shape[2:])
        tokens, mask = tokens_of(conditioning), conditioning.token_mask
        time = F.relu(time_and_vector(self.time, self.vector_in, timestep, conditioning))  # (B, E)
        inc = self.inc(x_t, time, tokens, mask)
        down1 = self.down1(inc, time)
        x = self.down2(down1, time, tokens, mask)
        x = self.bottleneck(x, time, tokens, mask)
        x = self.up1(x, time, skip=down1)
        x = self.up2(x, time, skip=inc)
        return self.out(x)


class Stage(nn.Module):
    """What brings a map to its stage (a convolution, halving or doubling), a residual block, attention."""

    def __init__(
        self,
        entry: nn.Module,
        in_channels: int,
        channels: int,
        time_dim: int,
        attention: SpatialAttention | None = None,
    ) -> None:
        super().__init__()
        self.entry = entry
        self.block = TimeResidualBlock(in_channels, channels, time_dim)
        self.attention = attention

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        tokens: Tensor | None = None,
        mask: Tensor | None = None,
        skip: Tensor | None = None,
    ) -> Tensor:
        """Map x (B, C, H, W), time (B, E), tokens (B, L, D), mask (B, L), skip (B, C'', H', W')."""
        x = self.entry(x)
        if skip is not None:
            x = torch.cat([x, skip], dim=1)
        x = self.block(x, time)
        return x if self.attention is None else self.attention(x, tokens, mask)


class TimeResidualBlock(nn.Module):
    """(B, in, H, W) and the time embedding (B, E) -> (B, out, H, W): twice instance norm, ReLU, 3x3 conv.

    The embedding is added *after* the second norm: it is constant over a map, so that an instance norm
    behind it would subtract it again and leave the network blind to time.
    """

    def __init__(self, in_channels: int, out_channels: int, time_dim: int) -> None:
        super().__init__()
        self.norm_in = feature_norm("instance", in_channels)
        self.conv_in = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time = nn.Linear(time_dim, out_channels)
        self.norm_out = feature_norm("instance", out_channels)
        self.conv_out = zeroed(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.skip = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Maps, time: Float[Tensor, "B E"]) -> Float[Tensor, "B out H W"]:
        hidden = self.conv_in(F.relu(self.norm_in(x)))
        hidden = self.norm_out(hidden) + self.time(time)[:, :, None, None]
        return self.skip(x) + self.conv_out(F.relu(hidden))


def _check_size(height: int, width: int) -> None:
    if height % FACTOR or width % FACTOR:
        raise UsageError(
            f"Denoiser 'attribute_unet' halves its samples twice: height and width must be divisible by "
            f"{FACTOR}, not {height}x{width}.",
            hint="Use another image size, or --set denoiser.kind=dit.",
        )
    if height * width == FACTOR**2:
        raise UsageError(
            f"Denoiser 'attribute_unet' would come down to a single cell from {height}x{width}, and instance "
            "norm leaves nothing of a single cell.",
            hint="Use larger images, or --set denoiser.kind=unet.",
        )


build = AttributeUNet
