"""diffusers' `UNet2DConditionModel`, the U-Net of Stable Diffusion (Rombach et al. 2022): tokens by
cross-attention.

Level 0 is full resolution; each further level halves it.

Letters: B batch, C channels, H/W rows and columns, L condition tokens, D features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from facegen.compat import guard_torchvision
from facegen.config.kinds import KindConfig
from facegen.denoisers._told import check_attention, check_levels, map_shape, tokens_of
from facegen.errors import UsageError
from facegen.nn.blocks import zeroed
from facegen.shapes import Maps, Times
from facegen.types import Conditioning, ConditioningSpec, SampleSpec

Width = Annotated[int, Field(ge=1)]


class Config(KindConfig, frozen=True):
    """Names and meanings are diffusers', but for `num_heads`, which diffusers calls `attention_head_dim`.

    Tokens alone are read, in `cross_attention_levels` and at the lowest resolution; a vector beside them
    is not. Without a conditioner the same levels attend to themselves alone.
    """

    kind: Literal["unet2d_condition"] = "unet2d_condition"
    block_out_channels: tuple[Width, ...] = Field(default=(128, 256, 384, 384), min_length=1)
    """Channels per level, fine to coarse."""
    layers_per_block: int = Field(default=2, ge=1)
    """Residual blocks per level."""
    cross_attention_levels: tuple[int, ...] = (0, 1, 2)
    """Levels with attention, from 0, full resolution."""
    num_heads: int = Field(default=8, ge=1)
    """Heads of attention."""
    norm_num_groups: int = Field(default=32, ge=1)
    """Groups of the group norms."""
    gradient_checkpointing: bool = False
    """Recompute blocks in the backward pass: less memory, more time."""

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        widths = self.block_out_channels
        for width in widths:
            if width % self.norm_num_groups:
                raise ValueError(f"{width} channels must be divisible by norm_num_groups")
        levels = (*self.cross_attention_levels, len(widths) - 1)  # the lowest attends in any case
        check_attention(widths, levels, self.num_heads, "num_heads")
        return self


def like(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The options for these settings of a `UNet2DConditionModel`, but for those of the same name."""
    attends = [level for level, kind in enumerate(settings["down_block_types"]) if "Attn" in kind]
    return {"cross_attention_levels": attends, "num_heads": settings["attention_head_dim"]}


def _blocks(config: Config, token_dim: int | None) -> dict[str, Any]:
    """Which block stands at which level, in diffusers' words."""
    widths = config.block_out_channels
    attends = [level in config.cross_attention_levels for level in range(len(widths))]
    if token_dim is None:
        down, up, middle = "AttnDownBlock2D", "AttnUpBlock2D", "UNetMidBlock2D"
        heads = tuple(width // config.num_heads for width in widths)  # here the name means what it says
    else:
        down, up, middle = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D", "UNetMidBlock2DCrossAttn"
        heads = config.num_heads
    return {
        "down_block_types": tuple(down if here else "DownBlock2D" for here in attends),
        "mid_block_type": middle,
        "up_block_types": tuple(up if here else "UpBlock2D" for here in reversed(attends)),
        "attention_head_dim": heads,
        "cross_attention_dim": token_dim or 1,
    }


class ConditionUNet(nn.Module):
    """x_t (B, C, H, W), timestep (B,) in [0, 1000], Conditioning -> (B, C, H, W). Zero at initialisation.

    Raises:
        UsageError: the sample is no image or cannot be halved often enough, or the conditioner gives a
            vector alone.
    """

    def __init__(self, config: Config, sample: SampleSpec, conditioning: ConditioningSpec) -> None:
        super().__init__()
        channels, height, width = map_shape(sample, "unet2d_condition")
        check_levels(height, width, len(config.block_out_channels), "block_out_channels")
        self.reads_tokens = conditioning.token_dim is not None
        if conditioning.vector_dim is not None and not self.reads_tokens:
            raise UsageError(
                "Denoiser 'unet2d_condition' reads tokens, and this conditioner gives a vector alone.",
                hint="Use a conditioner with tokens (--set conditioner.kind=text, or attributes), or --set "
                "denoiser.kind=unet.",
            )
        guard_torchvision()
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        self.model: Any = UNet2DConditionModel(
            sample_size=(height, width),  # type: ignore[arg-type]
            in_channels=channels,
            out_channels=channels,
            block_out_channels=config.block_out_channels,
            layers_per_block=config.layers_per_block,
            norm_num_groups=config.norm_num_groups,
            **_blocks(config, conditioning.token_dim),
        )
        if config.gradient_checkpointing:
            self.model.enable_gradient_checkpointing()
        zeroed(self.model.conv_out)

    def forward(self, x_t: Maps, timestep: Times, conditioning: Conditioning) -> Maps:
        tokens, mask = self._context(conditioning)
        return self.model(
            x_t,
            timestep,
            encoder_hidden_states=tokens,
            encoder_attention_mask=mask,
            return_dict=False,
        )[0]

    def _context(self, conditioning: Conditioning) -> tuple[Tensor | None, Tensor | None]:
        if not self.reads_tokens:
            return None, None
        tokens, mask = tokens_of(conditioning), conditioning.token_mask
        if mask is not None:
            # diffusers hides by a large negative score, which hides nothing where all tokens are hidden
            tokens = tokens * mask[:, :, None]
        return tokens, mask


build = ConditionUNet
