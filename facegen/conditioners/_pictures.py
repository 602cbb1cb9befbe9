"""What conditioners on pictures have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from facegen.draws import Draws
from facegen.errors import UsageError
from facegen.shapes import Vectors
from facegen.types import Asking, Conditioning, ConditioningSpec, PromptReading
from facegen.vocabulary.prompts import ASK_WITH_PICTURES

Rows = Float[Tensor, "B *R"]


def asked_with_pictures(condition: str) -> Asking:
    """How models of pictures are asked; `condition` says what is taken from one."""
    return Asking(("like", "between"), "pictures", ASK_WITH_PICTURES, condition, "--like PHOTO")


class PictureConditioner(nn.Module, ABC):
    """Rows of pictures to a vector each; a row of NaN is no picture, and gives the learned `null`.

    A kind assigns `null` (D,) and turns rows into vectors by `vectors_of`. Words and labels are refused.
    """

    null: nn.Parameter

    def __init__(self, row_shape: tuple[int, ...], row_dtype: torch.dtype, dim: int, dropout: float) -> None:
        super().__init__()
        self.row_shape, self.row_dtype = row_shape, row_dtype
        self.dropout = dropout
        self.spec = ConditioningSpec(vector_dim=dim)

    @abstractmethod
    def vectors_of(self, rows: Rows) -> Vectors:
        """Rows without NaN -> vectors."""

    def null_inputs(self, count: int) -> Float[Tensor, " {count} *R"]:
        """Rows of NaN."""
        return torch.full((count, *self.row_shape), torch.nan, dtype=self.row_dtype)

    def drop(self, inputs: Rows, draws: Draws) -> Rows:
        """Hide the picture of a share of the samples."""
        dropped = draws.uniform(*[1] * (inputs.ndim - 1), device=inputs.device) < self.dropout
        return inputs.masked_fill(dropped, torch.nan)

    def read(self, prompt: str) -> PromptReading:
        """Nothing, of nothing.

        Raises:
            UsageError: words, which a model of pictures does not understand.
        """
        if prompt.strip():
            raise UsageError("This model is conditioned on pictures, not on words.", hint=ASK_WITH_PICTURES)
        return PromptReading({})

    def inputs_from(self, reading: PromptReading) -> Float[Tensor, " 1 *R"]:
        """One row without a picture.

        Raises:
            UsageError: labels were asked for.
        """
        if reading.labels:
            raise UsageError(
                f"This model is conditioned on pictures and cannot be asked for {', '.join(reading.labels)}.",
                hint=ASK_WITH_PICTURES,
            )
        return self.null_inputs(1)

    def forward(self, inputs: Rows) -> Conditioning:
        marked = inputs.flatten(1).isnan().any(1)
        vectors = self.vectors_of(inputs.nan_to_num())
        return Conditioning(vector=torch.where(marked[:, None], self.null, vectors))
