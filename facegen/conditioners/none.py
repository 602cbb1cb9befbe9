"""No condition: an unconditional model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Int8
from torch import Tensor, nn

from facegen.config.kinds import KindConfig
from facegen.draws import Draws
from facegen.errors import UsageError
from facegen.types import Asking, Conditioning, ConditioningSpec, LabelSchema, PromptReading, SampleSpec

if TYPE_CHECKING:
    import pandas as pd


ASKING = Asking(
    (), "no condition", "Sample it without a request, or train with a conditioner such as 'attributes'."
)

Nothing = Int8[Tensor, "N 0"]


class Config(KindConfig, frozen=True):
    kind: Literal["none"] = "none"


class NoCondition(nn.Module):
    """Gives an empty `Conditioning`."""

    asking = ASKING
    spec = ConditioningSpec()

    def __init__(self, config: Config, labels: LabelSchema, sample: SampleSpec) -> None:
        super().__init__()

    def inputs(self, frame: pd.DataFrame) -> Nothing:
        return torch.zeros(len(frame), 0, dtype=torch.int8)

    def null_inputs(self, count: int) -> Int8[Tensor, "{count} 0"]:
        return torch.zeros(count, 0, dtype=torch.int8)

    def drop(self, inputs: Nothing, draws: Draws) -> Nothing:
        return inputs

    def read(self, prompt: str) -> PromptReading:
        """Nothing is understood: every word is left over."""
        return PromptReading(labels={}, not_understood=tuple(prompt.split()))

    def inputs_from(self, reading: PromptReading) -> Int8[Tensor, "1 0"]:
        """One empty row.

        Raises:
            UsageError: labels were asked of an unconditional model.
        """
        if reading.labels:
            raise UsageError(
                f"This model is unconditional and cannot be asked for {', '.join(reading.labels)}.",
                hint="Sample without a prompt, or train with a conditioner such as 'attributes'.",
            )
        return self.null_inputs(1)

    def forward(self, inputs: Nothing) -> Conditioning:
        return Conditioning()


build = NoCondition
