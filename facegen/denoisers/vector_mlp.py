"""Residual MLP over vectors: every block's norm is scaled, shifted and gated by time and condition.

The adaptive norm of Peebles & Xie 2023 (DiT, adaLN-zero) on the residual MLP of Li et al. 2024
(arXiv:2406.11838, section 3.3).

Letters: B batch, D entries of the sample, W width, L condition tokens, E features of a token.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from facegen.config.kinds import KindConfig
from facegen.denoisers._told import time_and_vector, tokens_of
from facegen.errors import UsageError
from facegen.nn.blocks import modulate, zeroed
from facegen.nn.embeddings import TimestepEmbedding
from facegen.shapes import Times, Vectors
from facegen.types import Conditioning, ConditioningSpec, SampleSpec


class Config(KindConfig, frozen=True):
    """A conditioner's vector enters the adaptive norm; of tokens alone, their mean does."""

    kind: Literal["vector_mlp"] = "vector_mlp"
    width: int = Field(default=512, ge=8)
    """Features between the blocks."""
    depth: int = Field(default=6, ge=1)
    """Blocks."""
    mlp_ratio: float = Field(default=2.0, gt=0)
    """Features within a block, over `width`."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Within the blocks."""


class VectorMlp(nn.Module):
    """x_t (B, D), timestep (B,) in [0, 1000], Conditioning -> (B, D). Zero at initialisation.

    Raises:
        UsageError: the sample is not a vector.
    """

    def __init__(self, config: Config, sample: SampleSpec, conditioning: ConditioningSpec) -> None:
        super().__init__()
        if len(sample.shape) != 1:
            raise UsageError(
                f"Denoiser 'vector_mlp' needs samples that are vectors (D,), not {sample.shape}.",
                hint="Encode with an autoencoder that gives vectors (vae_gan), or use denoiser unet or dit.",
            )
        (sample_dim,), width = sample.shape, config.width
        vector_dim, token_dim = conditioning.vector_dim, conditioning.token_dim
        hidden_dim = max(8, round(width * config.mlp_ratio))
        self.time = TimestepEmbedding(width)
        self.vector_in = None if vector_dim is None else nn.Linear(vector_dim, width)
        self.tokens_in = None
        if token_dim is not None and vector_dim is None:
            # Text encoders differ in scale by orders of magnitude.
            self.tokens_in = nn.Sequential(nn.LayerNorm(token_dim), nn.Linear(token_dim, width))
        self.sample_in = nn.Linear(sample_dim, width)
        self.blocks = nn.ModuleList(Block(width, hidden_dim, config.dropout) for _ in range(config.depth))
        self.norm_out = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation_out = zeroed(nn.Linear(width, 2 * width))
        self.sample_out = zeroed(nn.Linear(width, sample_dim))

    def forward(self, x_t: Vectors, timestep: Times, conditioning: Conditioning) -> Vectors:
        embedding = time_and_vector(self.time, self.vector_in, timestep, conditioning)
        if self.tokens_in is not None:
            tokens = self.tokens_in(tokens_of(conditioning))
            embedding = embedding + _mean_token(tokens, conditioning.token_mask)
        embedding = F.silu(embedding)  # (B, W)
        x = self.sample_in(x_t)
        for block in self.blocks:
            x = block(x, embedding)
        shift, scale = self.modulation_out(embedding).chunk(2, dim=1)
        return self.sample_out(modulate(self.norm_out(x), shift, scale))


class Block(nn.Module):
    """x (B, W), embedding (B, W) -> x plus a gated MLP of its modulated norm; starts as the identity."""

    def __init__(self, width: int, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = zeroed(nn.Linear(width, 3 * width))
        self.up = nn.Linear(width, hidden_dim)
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(hidden_dim, width)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        shift, scale, gate = self.modulation(embedding).chunk(3, dim=1)
        hidden = F.silu(self.up(modulate(self.norm(x), shift, scale)))
        return x + gate * self.down(self.dropout(hidden))


def _mean_token(tokens: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the visible tokens (B, L, W) -> (B, W); zeros where none is visible."""
    if mask is None:
        return tokens.mean(1)
    visible = mask[:, :, None].to(tokens.dtype)
    return (tokens * visible).sum(1) / visible.sum(1).clamp(min=1)


build = VectorMlp
