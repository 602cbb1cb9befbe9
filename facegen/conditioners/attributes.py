"""Binary attributes, each asked for, asked away, or left open ("unknown").

Letters: N or B rows, A attributes, V = 3 values (no, unknown, yes), D features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int8, Real
from pydantic import Field, model_validator
from torch import Tensor, nn

from facegen.config.kinds import KindConfig
from facegen.draws import Draws
from facegen.errors import DataError, UsageError, did_you_mean
from facegen.types import Asking, Conditioning, ConditioningSpec, LabelSchema, PromptReading, SampleSpec
from facegen.vocabulary.prompts import read_prompt

if TYPE_CHECKING:
    import pandas as pd


ASKING = Asking(
    ("prompt", "attributes", "negative", "blend"),
    "attributes",
    'Use --prompt "a smiling woman" or --attributes "Smiling=1,Eyeglasses=0".',
    "attributes such as smiling or eyeglasses",
    '--prompt "a smiling woman"',
)


class Config(KindConfig, frozen=True):
    kind: Literal["attributes"] = "attributes"
    attributes: list[str] | None = None
    """Those it is told; left out: all the data set has."""
    dim: int = Field(default=256, ge=1)
    """Features of a token and of the vector."""
    tokens: bool = True
    """A token each, for cross-attention and in-context conditioning."""
    vector: bool = True
    """One vector of them all, for adaptive norms; without it, tokens alone."""
    dropout: float = Field(default=0.1, ge=0, le=1)
    """Probability that a sample sees no attribute at all."""
    partial_dropout: float = Field(default=0.0, ge=0, le=1)
    """Probability that it sees a random subset."""
    sparse_dropout: float = Field(default=0.0, ge=0, le=1)
    """Probability that it sees little, as prompts say."""

    @model_validator(mode="after")
    def _gives_something(self) -> Config:
        if self.partial_dropout + self.sparse_dropout > 1:
            raise ValueError("partial_dropout and sparse_dropout are shares of one whole")
        if not self.tokens and not self.vector:
            raise ValueError("one of tokens and vector must be true")
        return self


class AttributeConditioner(nn.Module):
    """Inputs of +1 yes, -1 no, 0 unknown to a vector (B, D) and tokens (B, A, D), or one of them.

    Values between are allowed and blend the learned embeddings of their neighbours. The values themselves,
    (B, 2 A) of how much yes and how much no, go along for denoisers that give each a map of its own.

    Raises:
        UsageError: an attribute that the data does not have, one named twice, or none at all.
    """

    asking = ASKING

    def __init__(self, config: Config, labels: LabelSchema, sample: SampleSpec) -> None:
        super().__init__()
        self.attributes = _chosen(config, labels)
        self.tokens = config.tokens
        self.dropout, self.partial_dropout = config.dropout, config.partial_dropout
        self.sparse_dropout = config.sparse_dropout
        count, dim = len(self.attributes), config.dim
        self.spec = ConditioningSpec(
            vector_dim=dim if config.vector else None,
            token_dim=dim if config.tokens else None,
            num_tokens=count if config.tokens else None,
            num_values=2 * count,
        )
        self.embedding = nn.Parameter(torch.randn(count, 3, dim))  # (A, V, D)
        self.vector_mlp = None
        if config.vector:
            self.vector_mlp = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))

    def inputs(self, frame: pd.DataFrame) -> Int8[Tensor, "N A"]:
        """From nullable columns of 1, 0 and <NA>.

        Raises:
            DataError: a column is missing.
        """
        missing = [name for name in self.attributes if name not in frame.columns]
        if missing:
            raise DataError(
                f"The data has no column {', '.join(missing)}, which the conditioner needs.",
                hint="Use data with the attributes of this model, or narrow conditioner.attributes.",
            )
        values = frame[list(self.attributes)].astype("Int8")
        signed = (2 * values - 1).fillna(0).to_numpy(dtype="int8")
        return torch.from_numpy(signed.copy())

    def null_inputs(self, count: int) -> Int8[Tensor, "{count} A"]:
        """Zeros: everything unknown."""
        return torch.zeros(count, len(self.attributes), dtype=torch.int8)

    def drop(self, inputs: Real[Tensor, "B A"], draws: Draws) -> Real[Tensor, "B A"]:
        """Hide all attributes of a share of the samples, and a random subset of another share's.

        A sample that loses a subset keeps each attribute with one probability drawn for it uniformly,
        so that it learns from one attribute up to nearly all. A sparse one is like a prompt, which names few
        things of many and seldom what is absent: it keeps what is there with the square of that probability,
        and what is not with a tenth of it.
        """
        chance = draws.uniform(3 + inputs.shape[1], device=inputs.device)
        keep_all = chance[:, 0:1] >= self.dropout
        share, kept = chance[:, 2:3], torch.ones_like(chance[:, 3:])
        kept = torch.where(chance[:, 1:2] < self.partial_dropout + self.sparse_dropout, share**2, kept)
        kept = torch.where((kept < 1) & (inputs < 0), kept / 10, kept)
        kept = torch.where(chance[:, 1:2] < self.partial_dropout, share, kept)
        return inputs * (keep_all & (chance[:, 3:] < kept))

    @property
    def reads(self) -> LabelSchema:
        """The labels that prompts are read by."""
        return LabelSchema(attributes=self.attributes)

    def read(self, prompt: str) -> PromptReading:
        """What of `prompt` names an attribute of this model, with negation and synonyms."""
        return read_prompt(prompt, self.reads)

    def inputs_from(self, reading: PromptReading) -> Float[Tensor, "1 A"]:
        """One row from `reading.labels` in [-1, 1]; the rest is unknown.

        Raises:
            UsageError: a label this model does not know, or a value out of range.
        """
        row = torch.zeros(1, len(self.attributes))
        for name, value in reading.labels.items():
            if name not in self.attributes:
                raise UsageError(
                    f"This model has no attribute '{name}'.{did_you_mean(name, self.attributes)}",
                    hint=f"It knows: {', '.join(self.attributes)}.",
                )
            if not -1 <= value <= 1:
                raise UsageError(f"Attribute {name} = {value} is out of range; -1 is no, 0 open, 1 yes.")
            row[0, self.attributes.index(name)] = value
        return row

    def named_tokens(self, reading: PromptReading) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Each attribute and its one token, asked for or not; none of a model without tokens."""
        return tuple((name, (number,)) for number, name in enumerate(self.attributes if self.tokens else ()))

    def forward(self, inputs: Real[Tensor, "B {len(self.attributes)}"]) -> Conditioning:
        values = inputs.to(self.embedding.dtype)
        weights = torch.stack([(-values).relu(), 1 - values.abs(), values.relu()], dim=2)  # (B, A, V)
        count = len(self.attributes)
        if self.tokens:
            tokens = torch.einsum("bav,avd->bad", weights, self.embedding)
            total = tokens.sum(dim=1)
        else:
            tokens = None
            total = weights.flatten(1) @ self.embedding.flatten(0, 1)
        vector = None if self.vector_mlp is None else self.vector_mlp(total * count**-0.5)
        asked = torch.cat([weights[:, :, 2], weights[:, :, 0]], dim=1)  # (B, 2 A): yes, then no
        return Conditioning(vector=vector, tokens=tokens, values=asked)


def _chosen(config: Config, labels: LabelSchema) -> tuple[str, ...]:
    if not labels.attributes:
        raise UsageError(
            "Conditioner 'attributes' needs data with attributes, and this data has none.",
            hint="--set conditioner.kind=class_label where it has classes, otherwise conditioner.kind=none.",
        )
    attributes = labels.attributes if config.attributes is None else tuple(config.attributes)
    for name in attributes:
        if name not in labels.attributes:
            raise UsageError(
                f"conditioner.attributes: the data has no attribute '{name}'."
                f"{did_you_mean(name, labels.attributes)}",
                hint=f"It has: {', '.join(labels.attributes)}.",
            )
    if not attributes or len(set(attributes)) < len(attributes):
        raise UsageError("conditioner.attributes must name at least one attribute, and none twice.")
    return attributes


build = AttributeConditioner
