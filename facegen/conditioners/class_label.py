"""One class of several, such as an age group, or a yes/no attribute as two classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Int, Int64
from pydantic import Field
from torch import Tensor, nn

from facegen.config.kinds import KindConfig
from facegen.draws import Draws
from facegen.errors import UsageError, did_you_mean
from facegen.types import Asking, Conditioning, ConditioningSpec, LabelSchema, PromptReading, SampleSpec
from facegen.vocabulary.classes import attribute_classes, class_numbers, classes_of
from facegen.vocabulary.prompts import read_prompt

if TYPE_CHECKING:
    import pandas as pd


ASKING = Asking(("prompt", "class", "negative", "blend"), "classes", "Use --class NAME.", "a class")
CLASS_COLUMN = "column"  # the key of `Config` that names one


class Config(KindConfig, frozen=True):
    kind: Literal["class_label"] = "class_label"
    column: str | None = None
    """A class column, or an attribute X: Not_X, X; left out: the only class column the data has."""
    dim: int = Field(default=256, ge=1)
    """Features of the vector."""
    dropout: float = Field(default=0.1, ge=0, le=1)
    """Probability that a sample does not see its class."""


class ClassLabelConditioner(nn.Module):
    """Class numbers to a learned vector (B, D); one number past the last class is the null class.

    Raises:
        UsageError: the data has no classes, not that column, or several and none is named.
    """

    asking = ASKING

    def __init__(self, config: Config, labels: LabelSchema, sample: SampleSpec) -> None:
        super().__init__()
        self.column = _only_class_column(labels) if config.column is None else config.column
        self.classes = classes_of(labels, self.column, "conditioner.column")
        self.is_attribute = self.classes == attribute_classes(self.column)
        self.dropout = config.dropout
        self.spec = ConditioningSpec(vector_dim=config.dim)
        self.embedding = nn.Embedding(len(self.classes) + 1, config.dim)

    def inputs(self, frame: pd.DataFrame) -> Int64[Tensor, " N"]:
        """Class numbers; a missing value is the null class.

        Raises:
            DataError: no such column, or a class the model does not know.
        """
        return class_numbers(frame, self.column, self.classes)

    def null_inputs(self, count: int) -> Int64[Tensor, " {count}"]:
        return torch.full((count,), len(self.classes), dtype=torch.int64)

    def drop(self, inputs: Int[Tensor, " B"], draws: Draws) -> Int[Tensor, " B"]:
        """Give a share of the samples the null class."""
        dropped = draws.uniform(device=inputs.device) < self.dropout
        return inputs.masked_fill(dropped, len(self.classes))

    @property
    def reads(self) -> LabelSchema:
        """The labels that prompts are read by."""
        if self.is_attribute:
            return LabelSchema(attributes=(self.column,))
        return LabelSchema(classes={self.column: self.classes})

    def read(self, prompt: str) -> PromptReading:
        """The classes that `prompt` names; a negated one is not understood, unless it is an attribute."""
        return read_prompt(prompt, self.reads)

    def inputs_from(self, reading: PromptReading) -> Int64[Tensor, " 1"]:
        """The class asked for as "name" or "column=name", the null class if none was.

        Raises:
            UsageError: an unknown class, several at once, or one asked away.
        """
        labels = dict(reading.labels)
        if self.is_attribute and labels.get(self.column) == -1:  # "not smiling"
            labels = {**labels, self.classes[0]: 1.0}
            del labels[self.column]
        names = list(dict.fromkeys(label.removeprefix(f"{self.column}=") for label in labels))
        known = f"Classes of '{self.column}': {', '.join(self.classes)}."
        for name in names:
            if name not in self.classes:
                raise UsageError(
                    f"This model has no class '{name}'.{did_you_mean(name, self.classes)}", hint=known
                )
        if len(names) > 1:
            raise UsageError(f"Ask for one class at a time, not for {' and '.join(names)}.", hint=known)
        if any(value != 1 for value in labels.values()):
            raise UsageError(f"Class '{names[0]}' can be asked for, but not asked away.", hint=known)
        return torch.tensor([self.classes.index(names[0])]) if names else self.null_inputs(1)

    def forward(self, inputs: Int[Tensor, " B"]) -> Conditioning:
        return Conditioning(vector=self.embedding(inputs))


def _only_class_column(labels: LabelSchema) -> str:
    if not labels.classes:
        instead = "--set conditioner.kind=none"
        if labels.attributes:
            instead = f"An attribute makes two classes: --set conditioner.column={labels.attributes[0]}"
        raise UsageError(
            "Conditioner 'class_label' needs data with classes, and this data has none.", hint=instead
        )
    first, *others = labels.classes
    if others:
        raise UsageError(
            f"The data has several class columns: {', '.join(labels.classes)}. Name one.",
            hint=f"--set conditioner.column={first}",
        )
    return first


build = ClassLabelConditioner
