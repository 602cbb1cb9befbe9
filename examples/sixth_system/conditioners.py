"""A conditioner of one's own: a number, such as a mood or an age, asked for as `--prompt "mood 0.8"`."""

from __future__ import annotations

import math
import re

import pandas as pd
import torch
from pydantic import Field
from torch import Tensor, nn

from facegen.config.kinds import KindConfig
from facegen.draws import Draws
from facegen.errors import DataError, UsageError
from facegen.types import Asking, Conditioning, ConditioningSpec, LabelSchema, PromptReading, SampleSpec

NUMBER = r"[-+]?\d*\.?\d+"


class NumberConditioner(nn.Module):
    """A column's number (B, 1), NaN where unknown, to a vector (B, D); blends work as they do with words.

    The number enters as it is and as sines and cosines of rising frequency, so that small steps can be told
    apart (Tancik et al. 2020, arXiv:2006.10739).
    """

    class Config(KindConfig):
        column: str
        low: float = -1.0
        high: float = 1.0
        dim: int = Field(64, ge=2)
        frequencies: int = Field(4, ge=1)
        dropout: float = Field(0.1, ge=0, le=1)

    @staticmethod
    def build(config: Config, labels: LabelSchema, sample: SampleSpec) -> NumberConditioner:
        return NumberConditioner(config)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.spec = ConditioningSpec(vector_dim=config.dim)
        self.asking = Asking(
            options=("prompt", "negative", "blend"),
            trained_on=f"the number '{config.column}'",
            instead=f'Use --prompt "{config.column} {config.high:g}".',
            condition=f"{config.column}, a number from {config.low:g} to {config.high:g}",
            example=f'--prompt "{config.column} {config.high:g}"',
        )
        self.project = nn.Sequential(
            nn.Linear(1 + 2 * config.frequencies, config.dim),
            nn.SiLU(),
            nn.Linear(config.dim, config.dim),
            nn.LayerNorm(config.dim),  # as loud as the timestep's embedding from the first step on
        )
        self.unknown = nn.Parameter(torch.zeros(config.dim))

    def inputs(self, frame: pd.DataFrame) -> Tensor:
        """(N, 1) float32 numbers of the column."""
        if self.config.column not in frame.columns:
            raise DataError(f"The data has no column '{self.config.column}'.")
        return torch.tensor(frame[self.config.column].to_numpy("float32", na_value=math.nan))[:, None]

    def null_inputs(self, count: int) -> Tensor:
        return torch.full((count, 1), math.nan)

    def drop(self, inputs: Tensor, draws: Draws) -> Tensor:
        dropped = draws.uniform(1, device=inputs.device) < self.config.dropout
        return inputs.masked_fill(dropped, math.nan)

    def read(self, prompt: str) -> PromptReading:
        """What "mood 0.8" asks for; everything else in the prompt is left over."""
        column = self.config.column
        found = re.search(rf"\b{re.escape(column)}\s*[=:]?\s*({NUMBER})(?![\w.])", prompt, re.IGNORECASE)
        if found is None:
            return PromptReading({}, not_understood=tuple(prompt.split()))
        rest = f"{prompt[: found.start()]} {prompt[found.end() :]}".replace(",", " ").split()
        value = float(found[1])
        return PromptReading({column: value}, ((found[0], f"{column} {value:g}"),), tuple(rest))

    def inputs_from(self, reading: PromptReading) -> Tensor:
        """(1, 1): the number asked for."""
        config = self.config
        for name, value in reading.labels.items():
            if name != config.column or not config.low <= value <= config.high:
                raise UsageError(
                    f"'{name}' at {value:g} cannot be asked for.", hint=f"It knows {self.asking.condition}."
                )
        return torch.tensor([[reading.labels.get(config.column, math.nan)]])

    def forward(self, inputs: Tensor) -> Conditioning:
        config = self.config
        place = 2 * (inputs - config.low) / (config.high - config.low) - 1  # (B, 1) in [-1, 1]
        known = place.nan_to_num()
        angles = known * math.pi / 2 * 2.0 ** torch.arange(config.frequencies, device=inputs.device)
        vector = self.project(torch.cat([known, angles.sin(), angles.cos()], dim=1))
        return Conditioning(vector=torch.where(place.isnan(), self.unknown, vector))
