"""diffusers' `UNet2DModel`, the U-Net of its example of unconditional pixel diffusion (Ho et al. 2020).

Level 0 is full resolution; each further level halves it.

Letters: B batch, C channels, H/W rows and columns, D features, E embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from torch import nn

from facegen.compat import guard_torchvision
from facegen.config.kinds import KindConfig
from facegen.denoisers._told import check_attention, check_levels, map_shape, vector_of
from facegen.errors import UsageError
from facegen.nn.blocks import zeroed
from facegen.shapes import Maps, Times
from facegen.types import Conditioning, ConditioningSpec, SampleSpec

Width = Annotated[int, Field(ge=1)]


class Config(KindConfig, frozen=True):
    """Names and meanings are diffusers'; `attention_levels` are those whose blocks are its `Attn...Block2D`.

    The two blocks in the middle have attention between them in any case. A conditioner's vector is added to
    the time embedding.
    """

    kind: Literal["unet2d"] = "unet2d"
    block_out_channels: tuple[Width, ...] = Field(default=(128, 128, 256, 256, 512, 512), min_length=1)
    """Channels per level, fine to coarse."""
    layers_per_block: int = Field(default=2, ge=1)
    """Residual blocks per level."""
    attention_levels: tuple[int, ...] = (4,)
    """Levels with self-attention, from 0, full resolution."""
    attention_head_dim: int = Field(default=8, ge=1)
    """Features of a head."""
    norm_num_groups: int = Field(default=32, ge=1)
    """Groups of the group norms."""
    norm_eps: float = Field(default=1e-5, gt=0)
    """Added to their variance."""
    downsample_padding: int = Field(default=1, ge=0, le=1)
    """Of the convolutions that halve; 0 in the first published networks."""
    flip_sin_to_cos: bool = True
    """Cosines of the time before its sines; false in the first published networks."""
    freq_shift: int = Field(default=0, ge=0, le=1)
    """Of time's sinusoids; 1 in the first published networks."""
    gradient_checkpointing: bool = False
    """Recompute blocks in the backward pass: less memory, more time."""

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        widths = self.block_out_channels
        for width in widths:
            if width % self.norm_num_groups:
                raise ValueError(f"{width} channels must be divisible by norm_num_groups")
        levels = (*self.attention_levels, len(widths) - 1)  # the lowest attends in any case
        check_attention(widths, levels, self.attention_head_dim, "attention_head_dim")
        return self


def like(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The options for these settings of a `UNet2DModel`, but for those of the same name."""
    attends = [level for level, kind in enumerate(settings["down_block_types"]) if kind.startswith("Attn")]
    return {
        "attention_levels": attends,
        "attention_head_dim": settings["attention_head_dim"] or settings["block_out_channels"][-1],
    }


class UNet2D(nn.Module):
    """x_t (B, C, H, W), timestep (B,) in [0, 1000], Conditioning -> (B, C, H, W). Zero at initialisation.

    Raises:
        UsageError: the sample is no image or cannot be halved often enough, or the conditioner gives tokens
            alone.
    """

    def __init__(self, config: Config, sample: SampleSpec, conditioning: ConditioningSpec) -> None:
        super().__init__()
        channels, height, width = map_shape(sample, "unet2d")
        check_levels(height, width, len(config.block_out_channels), "block_out_channels")
        if conditioning.token_dim is not None and conditioning.vector_dim is None:
            raise UsageError(
                "Denoiser 'unet2d' reads a vector, and this conditioner gives tokens alone.",
                hint="Use a conditioner with a vector, or --set denoiser.kind=unet2d_condition.",
            )
        guard_torchvision()
        from diffusers.models.unets.unet_2d import UNet2DModel

        attends = [level in config.attention_levels for level in range(len(config.block_out_channels))]
        has_vector = conditioning.vector_dim is not None
        self.model: Any = UNet2DModel(
            sample_size=(height, width),
            in_channels=channels,
            out_channels=channels,
            block_out_channels=config.block_out_channels,
            layers_per_block=config.layers_per_block,
            down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attends),
            up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attends)),
            attention_head_dim=config.attention_head_dim,
            norm_num_groups=config.norm_num_groups,
            norm_eps=config.norm_eps,
            downsample_padding=config.downsample_padding,
            flip_sin_to_cos=config.flip_sin_to_cos,
            freq_shift=config.freq_shift,
            class_embed_type="identity" if has_vector else None,  # added to the time embedding as it is
        )
        self.vector_in = None
        if conditioning.vector_dim is not None:
            self.vector_in = nn.Linear(conditioning.vector_dim, 4 * config.block_out_channels[0])  # D to E
        if config.gradient_checkpointing:
            self.model.enable_gradient_checkpointing()
        zeroed(self.model.conv_out)

    def forward(self, x_t: Maps, timestep: Times, conditioning: Conditioning) -> Maps:
        told = None if self.vector_in is None else self.vector_in(vector_of(conditioning))  # (B, E)
        return self.model(x_t, timestep, class_labels=told, return_dict=False)[0]


build = UNet2D
