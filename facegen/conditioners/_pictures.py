"""What conditioners on pictures have in common: a row of NaN stands for no picture at all."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from facegen.errors import UsageError
from facegen.types import PromptReading

ASK_WITH_PICTURES = "Ask with photos: --like PHOTO for variations, --between A B for what lies between two."


def null_rows(count: int, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """(count, *shape) of NaN."""
    return torch.full((count, *shape), torch.nan, dtype=dtype)


def dropped_rows(inputs: Tensor, share: float, generator: Generator) -> Tensor:
    """`inputs` (B, ...) with a share of its rows marked as missing."""
    dropped = torch.rand(len(inputs), generator=generator) < share
    return inputs.masked_fill(dropped.to(inputs.device).view(-1, *[1] * (inputs.ndim - 1)), torch.nan)


def marked_rows(inputs: Tensor) -> Tensor:
    """(B,) bool: rows that stand for no picture."""
    return inputs.flatten(1).isnan().any(1)


def read_no_words(prompt: str) -> PromptReading:
    """Nothing, of nothing.

    Raises:
        UsageError: words, which a model of pictures does not understand.
    """
    if prompt.strip():
        raise UsageError("This model is conditioned on pictures, not on words.", hint=ASK_WITH_PICTURES)
    return PromptReading({})


def refuse_labels(reading: PromptReading) -> None:
    """Refuse to be asked by labels.

    Raises:
        UsageError: there are some.
    """
    if reading.labels:
        raise UsageError(
            f"This model is conditioned on pictures and cannot be asked for {', '.join(reading.labels)}.",
            hint=ASK_WITH_PICTURES,
        )
