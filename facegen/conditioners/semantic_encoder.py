"""A vector that an encoder, trained jointly with the denoiser, makes of the clean sample itself.

Preechakul et al. 2022 (arXiv:2111.15640): the vector learns whatever helps to denoise, which is what the
picture shows; the noise keeps the rest. Nothing limits what it may carry but its width.

Letters: N or B rows, C channels, H/W rows and columns, D features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from facegen.conditioners._pictures import PictureConditioner, asked_with_pictures
from facegen.config.kinds import KindConfig
from facegen.errors import UsageError
from facegen.nn.blocks import group_norm
from facegen.nn.classifier import POOLED_CELLS, ResidualBlock
from facegen.shapes import Maps, Vectors
from facegen.types import LabelSchema, SampleSpec

if TYPE_CHECKING:
    import pandas as pd


ASKING = asked_with_pictures("a vector read from a picture")


class Config(KindConfig, frozen=True):
    kind: Literal["semantic_encoder"] = "semantic_encoder"
    dim: int = Field(default=512, ge=1)
    """Features of the vector."""
    widths: list[int] = Field(default=[64, 128, 256], min_length=1)
    """Channels of the encoder's levels; each halves the last map."""
    dropout: float = Field(default=0.1, ge=0, le=1)
    """Probability that a sample does not see its vector."""


class SemanticEncoder(PictureConditioner):
    """Clean samples in the denoiser's space to a vector each; rows of NaN to a learned one.

    The vector leaves through a layer norm without scale or shift: all have one length, so that the space
    between two of them is not empty, and guidance starts from a known scale.

    Raises:
        UsageError: the sample is no map.
    """

    asking = ASKING

    def __init__(self, config: Config, labels: LabelSchema, sample: SampleSpec) -> None:
        if len(sample.shape) != 3:
            raise UsageError(
                f"Conditioner 'semantic_encoder' looks at samples (C, H, W), not {sample.shape}.",
                hint="--set conditioner.kind=none, or a conditioner on labels.",
            )
        dim, widths = config.dim, config.widths
        super().__init__(sample.shape, torch.float32, dim, config.dropout)
        pairs = list(zip([widths[0], *widths[:-1]], widths, strict=True))
        self.stem = nn.Conv2d(sample.shape[0], widths[0], 3, padding=1)
        self.stages = nn.Sequential(
            *(ResidualBlock(before, after, stride=2 if i else 1) for i, (before, after) in enumerate(pairs))
        )
        self.norm = group_norm(widths[-1])
        self.to_vector = nn.Linear(widths[-1] * POOLED_CELLS**2, dim)
        self.null = nn.Parameter(torch.randn(dim))

    def inputs_of(self, samples: Maps) -> Maps:
        """The samples themselves: they are encoded anew whenever the encoder has learned."""
        return samples

    def inputs(self, frame: pd.DataFrame) -> Maps:
        """Refused: labels do not show the picture.

        Raises:
            UsageError: always.
        """
        raise UsageError("This model is conditioned on pictures, and label rows hold none.")

    def vectors_of(self, rows: Maps) -> Vectors:
        maps = self.stages(self.stem(rows))
        cells = F.adaptive_avg_pool2d(F.silu(self.norm(maps)), POOLED_CELLS)  # (B, width, 4, 4)
        vector = self.to_vector(cells.flatten(1))
        return F.layer_norm(vector.float(), vector.shape[1:])


build = SemanticEncoder
