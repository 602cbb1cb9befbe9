"""Frozen text encoders from transformers, by hub name or local folder.

Weights are read from safetensors only and no code of the model's folder is ever run.

Letters: U captions, L tokens, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from facegen.formats.model_folders import PretrainedFolder

DEFAULT_MAX_TOKENS = 77  # CLIP's context
WITHOUT_NETWORK = (
    "Without: copy the model's folder here (config.json, model.safetensors, a tokenizer's files) and "
    "give its path in place of the name: --set conditioner.encoder=FOLDER"
)
OPTIONAL_WEIGHTS = ("pooler.",)  # absent from many checkpoints, and not used here


class TextEncoder:
    """A frozen encoder and its tokenizer. Not a module, so that it never enters a state_dict."""

    def __init__(self, name: str, model: Any, tokenizer: Any, max_tokens: int) -> None:
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        limits = [max_tokens, tokenizer.model_max_length, _max_positions(model.config)]
        self.max_tokens: int = min(limit for limit in limits if limit is not None)
        self.token_dim: int = model.config.hidden_size

    def to(self, device: str | torch.device) -> TextEncoder:
        """Move the network; returns itself."""
        self.model.to(device)
        return self


def load_text_encoder(name_or_folder: str, *, max_tokens: int = DEFAULT_MAX_TOKENS) -> TextEncoder:
    """A text encoder with its tokenizer, from a local folder, the hub's cache, or the hub.

    CLIP gives its text half, encoder-decoder models their encoder. Captions are cut to `max_tokens`.

    Raises:
        MissingModelError: not there and not to be had; says how to fetch it.
        DataError: there, but not a complete text encoder in safetensors.
    """
    needed = "config.json, the tokenizer's files and model.safetensors"
    published = PretrainedFolder(name_or_folder, "text encoder", needed, WITHOUT_NETWORK)
    from transformers import AutoConfig, AutoTokenizer

    config = published.load(AutoConfig.from_pretrained)
    tokenizer = published.load(AutoTokenizer.from_pretrained)
    model = published.network(_model_class(config).from_pretrained, OPTIONAL_WEIGHTS)
    if config.is_encoder_decoder:
        model = model.get_encoder()
    return TextEncoder(name_or_folder, model, tokenizer, max_tokens)


@torch.inference_mode()
def embed_captions(
    captions: Sequence[str],
    encoder: TextEncoder,
    *,
    batch_size: int = 64,
    advance: Callable[[int], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Last hidden states of `captions`: tokens (U, L, D) float16 and mask (U, L) bool, both on the CPU.

    L is the longest caption's length in tokens; beyond a caption's own, tokens are zero and the mask is
    False. `advance` is told how many captions each batch has finished.
    """
    pad_id = encoder.tokenizer.pad_token_id
    ids = encoder.tokenizer(list(captions), truncation=True, max_length=encoder.max_tokens)["input_ids"]
    # An encoder without start or end marks has no token for "": one padding token stands for it.
    ids = [row or [pad_id] for row in ids]
    longest = max((len(row) for row in ids), default=1)
    tokens = torch.zeros(len(ids), longest, encoder.token_dim, dtype=torch.float16)
    mask = torch.zeros(len(ids), longest, dtype=torch.bool)
    device = encoder.model.device
    for start in range(0, len(ids), batch_size):
        rows = ids[start : start + batch_size]
        length = max(len(row) for row in rows)
        padded = torch.tensor([row + [pad_id] * (length - len(row)) for row in rows], device=device)
        visible = torch.tensor([[i < len(row) for i in range(length)] for row in rows], device=device)
        hidden = encoder.model(input_ids=padded, attention_mask=visible.long()).last_hidden_state
        part = slice(start, start + len(rows))
        tokens[part, :length] = (hidden.float() * visible[:, :, None]).half().cpu()
        mask[part, :length] = visible.cpu()
        if advance is not None:
            advance(len(rows))
    return tokens, mask


def words_of(caption: str, encoder: TextEncoder) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The words of `caption` and the numbers of their tokens, as `embed_captions` orders them.

    What the tokenizer adds, such as a start mark, stands as a word of its own in brackets.
    """
    tokenizer = encoder.tokenizer
    read = tokenizer(caption, truncation=True, max_length=encoder.max_tokens)
    ids = read["input_ids"]
    if not tokenizer.is_fast:  # only the others know where in the text a token comes from
        words = tuple((text, (number,)) for number, text in enumerate(tokenizer.convert_ids_to_tokens(ids)))
        return words or (("(nothing)", (0,)),)
    word_ids = read.word_ids()
    groups: list[tuple[str, list[int]]] = []
    for number, (token, word) in enumerate(zip(ids, word_ids, strict=True)):
        if word is None:
            groups.append((_mark(token, tokenizer), [number]))
        elif number and word == word_ids[number - 1]:
            groups[-1][1].append(number)
        else:
            span = read.word_to_chars(word)
            groups.append((caption[span.start : span.end].strip(), [number]))
    return tuple((text, tuple(numbers)) for text, numbers in groups) or (("(nothing)", (0,)),)


def _mark(token: int, tokenizer: Any) -> str:
    if token in (tokenizer.bos_token_id, tokenizer.cls_token_id):
        return "(start)"
    if token in (tokenizer.eos_token_id, tokenizer.sep_token_id):
        return "(end)"
    return f"({tokenizer.convert_ids_to_tokens(token)})"


def _model_class(config: Any) -> Any:
    from transformers import AutoModel, CLIPTextModel

    return CLIPTextModel if config.model_type in ("clip", "clip_text_model") else AutoModel


def _max_positions(config: Any) -> int | None:
    return getattr(config, "max_position_embeddings", None)
