"""Free text through a frozen encoder.

Letters: N or B rows, K captions a row, U unique captions, L tokens, D features.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Int64
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from facegen.conditioners._text_encoder import DEFAULT_MAX_TOKENS, TextEncoder
from facegen.config.kinds import KindConfig
from facegen.draws import Draws
from facegen.errors import DataError, UsageError
from facegen.formats.latents import ImageFeatures, TextEmbeddings
from facegen.types import Asking, Conditioning, ConditioningSpec, LabelSchema, PromptReading, SampleSpec

if TYPE_CHECKING:
    import pandas as pd

NULL_CAPTION = ""


ASKING = Asking(
    ("prompt", "negative", "blend"),
    "free text",
    "Use --prompt.",
    "a caption",
    '--prompt "a smiling woman with blond hair"',
    free_text=True,
)


class Config(KindConfig, frozen=True):
    kind: Literal["text"] = "text"
    encoder: str
    """Hub name or local folder of a transformers text encoder."""
    max_tokens: int = Field(default=DEFAULT_MAX_TOKENS, ge=1)
    """Longer captions are cut."""
    dropout: float = Field(default=0.1, ge=0, le=1)
    """Probability that a sample sees the empty caption."""


class TextConditioner(nn.Module):
    """Caption numbers, of a row the first, to the frozen encoder's tokens, their mask, and their mean.

    Numbers are rows of a table of unique captions' embeddings. The table is taken from a cache by
    `attach`, and grows by whatever else is asked for, which needs the encoder. Neither the table
    nor the encoder, loaded when it is first needed, is part of the state_dict: nothing here is trained.
    """

    asking = ASKING

    def __init__(self, config: Config, labels: LabelSchema, sample: SampleSpec) -> None:
        super().__init__()
        self.encoder_name, self.max_tokens, self.dropout = config.encoder, config.max_tokens, config.dropout
        self._rows: dict[str, int] = {}
        # Plain attributes: the table may be memory-mapped and larger than a GPU, so it stays where it is.
        self._tokens = torch.zeros(0, 0, 0, dtype=torch.float16)
        self._mask = torch.zeros(0, 0, dtype=torch.bool)

    @cached_property
    def encoder(self) -> TextEncoder:
        """The frozen encoder, loaded at first use.

        Raises:
            MissingModelError: not there, and not to be had.
            DataError: there, but not a complete text encoder.
        """
        return TextEncoder(self.encoder_name, max_tokens=self.max_tokens)

    @property
    def spec(self) -> ConditioningSpec:
        """Width of tokens and vector; `num_tokens` is the most there can be."""
        dim = self._tokens.shape[2] if self._rows else self.encoder.token_dim
        return ConditioningSpec(vector_dim=dim, token_dim=dim, num_tokens=self.max_tokens)

    def attach(self, texts: TextEmbeddings | None, features: ImageFeatures | None) -> None:
        """Take over cached embeddings, if they are of the same encoder.

        Raises:
            DataError: its parts do not fit together.
        """
        if texts is None or texts.encoder != self.encoder_name:
            return
        captions, tokens, mask = texts.captions, texts.tokens, texts.mask
        fits = tokens.ndim == 3 and mask.shape == tokens.shape[:2] and len(captions) == len(tokens)
        if not fits or len(set(captions)) < len(captions):
            raise DataError(
                f"The cached text embeddings do not fit together: {len(captions)} captions, tokens "
                f"{tuple(tokens.shape)}, mask {tuple(mask.shape)}.",
                hint="Encode the data set again with its text encoder.",
            )
        self._rows = {caption: row for row, caption in enumerate(captions)}
        self._tokens, self._mask = tokens, mask.bool()

    def inputs(self, frame: pd.DataFrame) -> Int64[Tensor, "N K"]:
        """Rows of the table: all phrasings of `captions` where there are any, else `caption`.

        Raises:
            DataError: the frame has no captions.
        """
        column = next((name for name in ("captions", "caption") if name in frame.columns), None)
        if column is None:
            raise DataError("The data has no captions, which the conditioner needs.")
        phrasings = [_phrasings(value) for value in frame[column]]
        if column == "captions" and "caption" in frame.columns:
            fallback = [_phrasings(value) for value in frame["caption"]]
            phrasings = [many or one for many, one in zip(phrasings, fallback, strict=True)]
        phrasings = [many or [NULL_CAPTION] for many in phrasings]
        self._embed(caption for many in phrasings for caption in many)
        most = max((len(many) for many in phrasings), default=1)
        rows = [[self._rows[many[k % len(many)]] for k in range(most)] for many in phrasings]
        return torch.tensor(rows, dtype=torch.int64).view(len(phrasings), most)

    def null_inputs(self, count: int) -> Int64[Tensor, "{count} 1"]:
        """The empty caption."""
        return self._row_of(NULL_CAPTION).expand(count, 1).clone()

    def drop(self, inputs: Int64[Tensor, "N K"], draws: Draws) -> Int64[Tensor, "N 1"]:
        """Choose one phrasing a sample, and the empty caption for a share of them."""
        chance = draws.uniform(2, device=inputs.device)
        choice = (chance[:, :1] * inputs.shape[1]).long()
        null = self._row_of(NULL_CAPTION).to(inputs.device)
        return torch.where(chance[:, 1:] < self.dropout, null, inputs.gather(1, choice))

    def read(self, prompt: str) -> PromptReading:
        """All of it is understood, as text."""
        text = prompt.strip()
        if not text:
            return PromptReading(labels={})
        return PromptReading(labels={text: 1.0}, understood=((text, "text"),))

    def inputs_from(self, reading: PromptReading) -> Int64[Tensor, "1 1"]:
        """The row of what was asked for in words.

        Raises:
            UsageError: something was asked away, which this model understands in words only.
        """
        away = [name for name, value in reading.labels.items() if value != 1]
        if away:
            raise UsageError(
                f"This model reads text and cannot be told {', '.join(away)} by value.",
                hint='Say it in words: --prompt "a woman without glasses"',
            )
        return self._row_of(_caption_of(reading))

    def named_tokens(self, reading: PromptReading) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Each word of the prompt with its tokens, and the marks that the encoder adds, in brackets."""
        return self.encoder.words_of(_caption_of(reading))

    def forward(self, inputs: Int64[Tensor, "B K"]) -> Conditioning:
        rows = inputs[:, 0].to(self._tokens.device)
        tokens = self._tokens[rows].to(inputs.device).float()
        mask = self._mask[rows].to(inputs.device)
        weights = mask[:, :, None].float()  # (B, L, 1)
        vector = (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        return Conditioning(vector=vector, tokens=tokens, token_mask=mask)

    def _row_of(self, caption: str) -> Int64[Tensor, "1 1"]:
        self._embed([caption])
        return torch.tensor([[self._rows[caption]]])

    def _embed(self, captions: Iterable[str]) -> None:
        """See to it that the table has all `captions`."""
        new = [caption for caption in dict.fromkeys(captions) if caption not in self._rows]
        if not new:
            return
        tokens, mask = self.encoder.embed(new)
        tokens = tokens.to(self._tokens.dtype)
        if self._rows:
            length = max(tokens.shape[1], self._tokens.shape[1])
            parts = (self._tokens, tokens), (self._mask, mask)
            tokens = torch.cat([F.pad(each, (0, 0, 0, length - each.shape[1])) for each in parts[0]])
            mask = torch.cat([F.pad(each, (0, length - each.shape[1])) for each in parts[1]])
        self._rows.update({caption: len(self._rows) + number for number, caption in enumerate(new)})
        self._tokens, self._mask = tokens, mask


class PaddedText(TextConditioner):
    """As Stable Diffusion's network is told: captions filled up to the encoder's length, the padding read as
    any word, in full precision, and tokens (B, L, D) alone."""

    def __init__(self, config: Config, labels: LabelSchema, sample: SampleSpec) -> None:
        super().__init__(config, labels, sample)
        self._tokens = self._tokens.float()

    @cached_property
    def encoder(self) -> TextEncoder:
        return TextEncoder(self.encoder_name, max_tokens=self.max_tokens, pad=True)

    @property
    def spec(self) -> ConditioningSpec:
        return ConditioningSpec(token_dim=self.encoder.token_dim, num_tokens=self.encoder.max_tokens)

    def forward(self, inputs: Tensor) -> Conditioning:
        return Conditioning(tokens=super().forward(inputs).tokens)


def _caption_of(reading: PromptReading) -> str:
    return ", ".join(reading.labels) or NULL_CAPTION


def _phrasings(value: Any) -> list[str]:
    """The captions in one cell: a string, a sequence of strings, or nothing."""
    if isinstance(value, str):
        return [value] if value else []
    if value is None or not hasattr(value, "__len__"):  # NaN and <NA> included
        return []
    return [caption for caption in value if caption]


build = TextConditioner
