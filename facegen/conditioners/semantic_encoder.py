"""A vector that an encoder, trained jointly with the denoiser, makes of the clean sample itself.

Preechakul et al. 2022 (arXiv:2111.15640): the vector learns whatever helps to denoise, which is what the
picture shows; the noise keeps the rest. Nothing limits what it may carry but its width.

Letters: N or B rows, C channels, H/W rows and columns, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from facegen.conditioners._pictures import (
    dropped_rows,
    marked_rows,
    null_rows,
    read_no_words,
    refuse_labels,
)
from facegen.config.kinds import KindConfig
from facegen.errors import UsageError
from facegen.nn.classifier import POOLED_CELLS, ResidualBlock, group_norm
from facegen.types import Conditioning, ConditioningSpec, LabelSchema, PromptReading, SampleSpec

if TYPE_CHECKING:
    import pandas as pd


class Config(KindConfig):
    kind: Literal["semantic_encoder"] = "semantic_encoder"
    dim: int = Field(512, ge=1)
    widths: list[int] = Field(
        default_factory=lambda: [64, 128, 256], min_length=1
    )  # each halves the last map
    dropout: float = Field(0.1, ge=0, le=1)  # probability that a sample does not see its vector


def build(config: Config, labels: LabelSchema, sample: SampleSpec) -> SemanticEncoder:
    """An encoder for `sample`; labels are ignored.

    Raises:
        UsageError: the sample is no map.
    """
    if len(sample.shape) != 3:
        raise UsageError(
            f"Conditioner 'semantic_encoder' looks at samples (C, H, W), not {sample.shape}.",
            hint="--set conditioner.kind=none, or a conditioner on labels.",
        )
    return SemanticEncoder(sample.shape, config.widths, dim=config.dim, dropout=config.dropout)


class SemanticEncoder(nn.Module):
    """Clean samples (B, C, H, W) in the denoiser's space to a vector (B, D); rows of NaN to a learned one.

    The vector leaves through a layer norm without scale or shift: all have one length, so that the space
    between two of them is not empty, and guidance starts from a known scale.
    """

    def __init__(self, shape: tuple[int, ...], widths: Sequence[int], *, dim: int, dropout: float) -> None:
        super().__init__()
        self.sample_shape = tuple(shape)
        self.dropout = dropout
        self.spec = ConditioningSpec(vector_dim=dim)
        pairs = list(zip([widths[0], *widths[:-1]], widths, strict=True))
        self.stem = nn.Conv2d(shape[0], widths[0], 3, padding=1)
        self.stages = nn.Sequential(
            *(ResidualBlock(before, after, stride=2 if i else 1) for i, (before, after) in enumerate(pairs))
        )
        self.norm = group_norm(widths[-1])
        self.to_vector = nn.Linear(widths[-1] * POOLED_CELLS**2, dim)
        self.null = nn.Parameter(torch.randn(dim))

    def inputs_of(self, samples: Tensor) -> Tensor:
        """The samples (B, C, H, W) themselves: they are encoded anew whenever the encoder has learned."""
        return samples

    def inputs(self, frame: pd.DataFrame) -> Tensor:
        """Refused: labels do not show the picture.

        Raises:
            UsageError: always.
        """
        raise UsageError("This model is conditioned on pictures, and label rows hold none.")

    def null_inputs(self, count: int) -> Tensor:
        """(count, C, H, W) of NaN, which stands for no picture."""
        return null_rows(count, self.sample_shape)

    def drop(self, inputs: Tensor, generator: Generator) -> Tensor:
        """Hide the picture of a share of the samples."""
        return dropped_rows(inputs, self.dropout, generator)

    def read(self, prompt: str) -> PromptReading:
        """Nothing, of nothing.

        Raises:
            UsageError: words, which this model does not understand.
        """
        return read_no_words(prompt)

    def inputs_from(self, reading: PromptReading) -> Tensor:
        """One row without a picture.

        Raises:
            UsageError: labels were asked for.
        """
        refuse_labels(reading)
        return self.null_inputs(1)

    def forward(self, inputs: Tensor) -> Conditioning:
        marked = marked_rows(inputs)
        maps = self.stages(self.stem(inputs.nan_to_num()))
        cells = F.adaptive_avg_pool2d(F.silu(self.norm(maps)), POOLED_CELLS)  # (B, width, 4, 4)
        vector = self.to_vector(cells.flatten(1))
        vector = F.layer_norm(vector.float(), vector.shape[1:])
        return Conditioning(vector=torch.where(marked[:, None], self.null, vector))
