"""Diffusion transformer: patches of the sample as tokens, modulated by time and condition.

Peebles & Xie 2023 (DiT, adaLN-zero) with RMS query-key norm, gated MLPs, and one modulation shared by
all blocks plus a table per block (adaLN-single, Chen et al. 2023, PixArt-alpha) as the default.

Letters: B batch, C channels, H/W sample rows and columns, h/w patch rows and columns, p patch size,
T = h * w tokens, L condition tokens, V values that were asked, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from facegen.config.kinds import KindConfig
from facegen.denoisers._told import map_shape, time_and_vector, tokens_of
from facegen.errors import UsageError
from facegen.nn.attention import CrossAttention, SelfAttention
from facegen.nn.blocks import GeluMlp, SwiGluMlp, modulate, zeroed
from facegen.nn.embeddings import TimestepEmbedding, grid_positions
from facegen.shapes import Maps, Times, Tokens, Vectors, Visible
from facegen.types import Conditioning, ConditioningSpec, SampleSpec

MAPS_STD = 0.02


class Config(KindConfig, frozen=True):
    """A conditioner's vector always enters the adaptive norm; `conditioning` says what its tokens do.

    An adaptive norm tells every patch the same; that something belongs at the eyes has to be learned by the
    blocks. With `value_maps`, attributes are told where they are seen: of 59 of them 0.92 instead of 0.37
    came true after equal minutes (docs/log.md).
    """

    kind: Literal["dit"] = "dit"
    patch_size: int = Field(default=2, ge=1)
    """Side of a patch; each is a token."""
    width: int = Field(default=256, ge=8)
    """Features of a token."""
    depth: int = Field(default=6, ge=1)
    """Blocks."""
    num_heads: int = Field(default=4, ge=1)
    """Heads of attention."""
    mlp: Literal["swiglu", "gelu"] = "swiglu"
    """Gated, or plain."""
    mlp_ratio: float = Field(default=4.0, gt=0)
    """Parameters as a plain MLP of this ratio, swiglu too."""
    qk_norm: bool = True
    """Normed queries and keys."""
    modulation: Literal["shared", "per_block"] = "shared"
    """One for all blocks plus a table each, or one per block."""
    conditioning: Literal["adaptive_norm", "cross_attention", "in_context"] = "adaptive_norm"
    """What the conditioner's tokens do."""
    freq_shift: int = Field(default=0, ge=0, le=1)
    """Of time's sinusoids; 1 in diffusers' DiT."""
    value_maps: bool = False
    """Each value that was asked adds a learned map to the patches."""

    @model_validator(mode="after")
    def _divisible(self) -> Config:
        if self.width % self.num_heads or self.width % 4:
            raise ValueError(f"width {self.width} must be divisible by 4 and by num_heads {self.num_heads}")
        return self


def like(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The options for these settings of a `DiTTransformer2DModel`, but for those of the same name."""
    function = settings["activation_fn"]
    return {
        "width": settings["num_attention_heads"] * settings["attention_head_dim"],
        "depth": settings["num_layers"],
        "num_heads": settings["num_attention_heads"],
        "mlp": "gelu" if function == "gelu-approximate" else f"of {function}",  # which there is none of
        "mlp_ratio": 4.0,
        "qk_norm": False,
        "modulation": "per_block",
        "conditioning": "adaptive_norm",
        "value_maps": False,
        "freq_shift": 1,
    }


class DiffusionTransformer(nn.Module):
    """x_t (B, C, H, W), timestep (B,) in [0, 1000], Conditioning -> (B, C, H, W). Zero at initialisation.

    Raises:
        UsageError: the sample is no image or not divisible into patches, or the conditioner does not
            give what `config.conditioning` needs.
    """

    def __init__(self, config: Config, sample: SampleSpec, conditioning: ConditioningSpec) -> None:
        super().__init__()
        _check(config, sample, conditioning)
        channels, rows, columns = sample.shape
        vector_dim, token_dim, width = conditioning.vector_dim, conditioning.token_dim, config.width
        self.patch_size = config.patch_size
        self.grid = (rows // self.patch_size, columns // self.patch_size)
        patch_dim = channels * self.patch_size**2
        self.patch_in = nn.Linear(patch_dim, width)
        self.register_buffer("positions", grid_positions(*self.grid, width), persistent=False)
        self.value_maps = None
        if config.value_maps:
            maps = torch.randn(conditioning.num_values or 0, self.grid[0] * self.grid[1], width)
            self.value_maps = nn.Parameter(MAPS_STD * maps)  # (V, T, D)
        self.time = TimestepEmbedding(width, freq_shift=config.freq_shift)
        self.vector_in = None if vector_dim is None else nn.Linear(vector_dim, width)
        self.tokens_in = None
        if token_dim is not None and config.conditioning != "adaptive_norm":
            self.tokens_in = nn.Sequential(nn.LayerNorm(token_dim), nn.Linear(token_dim, width))
        self.in_context = self.tokens_in is not None and config.conditioning == "in_context"
        self.modulation = nn.Linear(width, 6 * width) if config.modulation == "shared" else None
        crosses = self.tokens_in is not None and not self.in_context
        self.blocks = nn.ModuleList(TransformerBlock(config, crosses) for _ in range(config.depth))
        self.modulation_out = nn.Linear(width, 2 * width)
        self.patch_out = nn.Linear(width, patch_dim)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                for bias in list(module.parameters())[1:]:  # none where it has none
                    nn.init.zeros_(bias)
        zero = [self.modulation, self.modulation_out, self.patch_out]
        for block in self.blocks:
            assert isinstance(block, TransformerBlock)
            zero += [block.modulation, None if block.cross_attention is None else block.cross_attention.out]
        for linear in zero:
            if linear is not None:
                zeroed(linear)

    def forward(self, x_t: Maps, timestep: Times, conditioning: Conditioning) -> Maps:
        condition = F.silu(time_and_vector(self.time, self.vector_in, timestep, conditioning))  # (B, D)
        shared = None if self.modulation is None else self.modulation(condition)  # (B, 6 D)
        tokens = self.patch_in(self._patchify(x_t)) + self.positions
        if self.value_maps is not None:
            assert conditioning.values is not None
            added = conditioning.values.to(tokens.dtype) @ self.value_maps.flatten(1)  # (B, T D)
            tokens = tokens + added.view_as(tokens)
        num_patches = tokens.shape[1]
        context = context_mask = None
        if self.tokens_in is not None:
            context, context_mask = self.tokens_in(tokens_of(conditioning)), conditioning.token_mask
        self_mask = None
        if self.in_context and context is not None:
            if context_mask is not None:
                visible = context_mask.new_ones(len(tokens), num_patches)
                self_mask = torch.cat([visible, context_mask], dim=1)
            tokens = torch.cat([tokens, context], dim=1)  # (B, T + L, D)
            context = context_mask = None
        for block in self.blocks:
            tokens = block(tokens, condition, shared, self_mask, context, context_mask)
        shift, scale = self.modulation_out(condition)[:, None].chunk(2, dim=-1)
        tokens = F.layer_norm(tokens[:, :num_patches], tokens.shape[-1:])
        return self._unpatchify(self.patch_out(modulate(tokens, shift, scale)))

    def _patchify(self, x: Maps) -> Tokens:
        (rows, columns), size = self.grid, self.patch_size
        patches = x.reshape(x.shape[0], -1, rows, size, columns, size)
        return patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # (B, h w, C p p)

    def _unpatchify(self, tokens: Tokens) -> Maps:
        (rows, columns), size = self.grid, self.patch_size
        patches = tokens.view(tokens.shape[0], rows, columns, -1, size, size).permute(0, 3, 1, 4, 2, 5)
        return patches.reshape(tokens.shape[0], -1, rows * size, columns * size)  # (B, C, H, W)


class TransformerBlock(nn.Module):
    """Self-attention, optional cross-attention and MLP on (B, T, D), modulated by the condition.

    With shared modulation the block adds its own learned table to what all blocks share; otherwise it has
    its own projection of the condition. Either starts at zero, so that a new block is the identity.
    """

    def __init__(self, config: Config, cross_attention: bool) -> None:
        super().__init__()
        width, num_heads, qk_norm = config.width, config.num_heads, config.qk_norm
        hidden_dim = int(width * config.mlp_ratio * (2 / 3 if config.mlp == "swiglu" else 1))
        hidden_dim = max(8, 8 * round(hidden_dim / 8))
        self.attention = SelfAttention(width, num_heads, qk_norm=qk_norm)
        self.cross_attention = None
        if cross_attention:
            self.cross_norm = nn.LayerNorm(width)
            self.cross_attention = CrossAttention(width, width, num_heads, qk_norm=qk_norm)
        self.mlp = (SwiGluMlp if config.mlp == "swiglu" else GeluMlp)(width, hidden_dim)
        self.table = nn.Parameter(torch.zeros(6 * width)) if config.modulation == "shared" else None
        self.modulation = nn.Linear(width, 6 * width) if config.modulation == "per_block" else None

    def forward(
        self,
        x: Tokens,
        condition: Vectors,
        shared: Float[Tensor, "B 6*D"] | None,
        self_mask: Visible | None,
        context: Float[Tensor, "B L D"] | None,
        context_mask: Bool[Tensor, "B L"] | None,
    ) -> Tokens:
        """Tokens x (B, T, D), condition (B, D), shared (B, 6 D), context (B, L, D) -> (B, T, D)."""
        signals = self._signals(condition, shared)[:, None].chunk(6, dim=-1)  # six of (B, 1, D)
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = signals
        normed = modulate(F.layer_norm(x, x.shape[-1:]), shift, scale)
        x = torch.addcmul(x, gate, self.attention(normed, self_mask))
        if self.cross_attention is not None and context is not None:
            x = x + self.cross_attention(self.cross_norm(x), context, context_mask)
        normed = modulate(F.layer_norm(x, x.shape[-1:]), mlp_shift, mlp_scale)
        return torch.addcmul(x, mlp_gate, self.mlp(normed))

    def _signals(self, condition: Tensor, shared: Tensor | None) -> Tensor:
        if self.modulation is not None:
            return self.modulation(condition)
        assert shared is not None
        assert self.table is not None
        return shared + self.table


def _check(config: Config, sample: SampleSpec, conditioning: ConditioningSpec) -> None:
    _, height, width = map_shape(sample, "dit")
    if height % config.patch_size or width % config.patch_size:
        fitting = [p for p in range(1, min(height, width) + 1) if height % p == 0 and width % p == 0]
        raise UsageError(
            f"denoiser.patch_size {config.patch_size} does not divide samples of {height}x{width}.",
            hint=f"Allowed here: {', '.join(map(str, fitting))}.",
        )
    has_vector, has_tokens = conditioning.vector_dim is not None, conditioning.token_dim is not None
    if config.value_maps and conditioning.num_values is None:
        raise UsageError(
            "denoiser.value_maps needs a conditioner that is asked with numbers, and this one is not.",
            hint="--set denoiser.value_maps=false, or conditioner.kind=attributes",
        )
    if config.conditioning == "adaptive_norm" and has_tokens and not has_vector:
        raise UsageError(
            "denoiser.conditioning 'adaptive_norm' needs a conditioner that gives a vector; "
            "this one gives tokens.",
            hint="--set denoiser.conditioning=cross_attention",
        )
    if config.conditioning != "adaptive_norm" and has_vector and not has_tokens:
        raise UsageError(
            f"denoiser.conditioning '{config.conditioning}' needs a conditioner that gives tokens; "
            "this one gives a vector.",
            hint="--set denoiser.conditioning=adaptive_norm",
        )


build = DiffusionTransformer
