"""One class of several, such as an age group or an expression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from facegen.config.kinds import KindConfig
from facegen.errors import DataError, UsageError, did_you_mean
from facegen.types import Conditioning, ConditioningSpec, LabelSchema, PromptReading, SampleSpec
from facegen.vocabulary.prompts import read_prompt

if TYPE_CHECKING:
    import pandas as pd


class Config(KindConfig):
    kind: Literal["class_label"] = "class_label"
    column: str | None = None  # default: the only class column the data has
    dim: int = Field(256, ge=1)
    dropout: float = Field(0.1, ge=0, le=1)  # probability that a sample does not see its class


def build(config: Config, labels: LabelSchema, sample: SampleSpec) -> ClassLabelConditioner:
    """A conditioner on the classes of `config.column`.

    Raises:
        UsageError: the data has no classes, not that column, or several and none is named.
    """
    columns = ", ".join(labels.classes)
    if not labels.classes:
        raise UsageError(
            "Conditioner 'class_label' needs data with classes, and this data has none.",
            hint="--set conditioner.kind=attributes where it has those, otherwise conditioner.kind=none.",
        )
    if config.column is None and len(labels.classes) > 1:
        raise UsageError(
            f"The data has several class columns: {columns}. Name one.",
            hint=f"--set conditioner.column={next(iter(labels.classes))}",
        )
    column = next(iter(labels.classes)) if config.column is None else config.column
    if column not in labels.classes:
        raise UsageError(
            f"conditioner.column: the data has no class column '{column}'."
            f"{did_you_mean(column, labels.classes)}",
            hint=f"It has: {columns}.",
        )
    return ClassLabelConditioner(column, labels.classes[column], dim=config.dim, dropout=config.dropout)


class ClassLabelConditioner(nn.Module):
    """Class numbers (B,) to a learned vector (B, D); one number past the last class is the null class."""

    def __init__(self, column: str, classes: tuple[str, ...], *, dim: int, dropout: float) -> None:
        super().__init__()
        self.column = column
        self.classes = classes
        self.dropout = dropout
        self.spec = ConditioningSpec(vector_dim=dim)
        self.embedding = nn.Embedding(len(classes) + 1, dim)

    def inputs(self, frame: pd.DataFrame) -> Tensor:
        """(N,) int64 class numbers; a missing value is the null class.

        Raises:
            DataError: no such column, or a class the model does not know.
        """
        if self.column not in frame.columns:
            raise DataError(f"The data has no class column '{self.column}', which the conditioner needs.")
        values = frame[self.column]
        unknown = sorted({str(value) for value in values.dropna()} - set(self.classes))
        if unknown:
            raise DataError(
                f"Column '{self.column}' has classes the model does not know: {', '.join(unknown)}.",
                hint=f"It knows: {', '.join(self.classes)}.",
            )
        numbers = {name: number for number, name in enumerate(self.classes)}
        # NaN, None and <NA> are no class's name, and so fall to the null class.
        return torch.tensor([numbers.get(value, len(self.classes)) for value in values], dtype=torch.int64)

    def null_inputs(self, count: int) -> Tensor:
        return torch.full((count,), len(self.classes), dtype=torch.int64)

    def drop(self, inputs: Tensor, generator: Generator) -> Tensor:
        """Give a share of the samples the null class."""
        dropped = torch.rand(len(inputs), generator=generator) < self.dropout
        return inputs.masked_fill(dropped.to(inputs.device), len(self.classes))

    def read(self, prompt: str) -> PromptReading:
        """The classes that `prompt` names; a negated class is not understood, since there is no opposite."""
        return read_prompt(prompt, LabelSchema(classes={self.column: self.classes}))

    def inputs_from(self, reading: PromptReading) -> Tensor:
        """(1,) int64: the class asked for as "name" or "column=name", the null class if none was.

        Raises:
            UsageError: an unknown class, several at once, or one asked away.
        """
        names = list(dict.fromkeys(label.removeprefix(f"{self.column}=") for label in reading.labels))
        known = f"Classes of '{self.column}': {', '.join(self.classes)}."
        for name in names:
            if name not in self.classes:
                raise UsageError(
                    f"This model has no class '{name}'.{did_you_mean(name, self.classes)}", hint=known
                )
        if len(names) > 1:
            raise UsageError(f"Ask for one class at a time, not for {' and '.join(names)}.", hint=known)
        if any(value != 1 for value in reading.labels.values()):
            raise UsageError(f"Class '{names[0]}' can be asked for, but not asked away.", hint=known)
        return torch.tensor([self.classes.index(names[0])]) if names else self.null_inputs(1)

    def forward(self, inputs: Tensor) -> Conditioning:
        return Conditioning(vector=self.embedding(inputs))
