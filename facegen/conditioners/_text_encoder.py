"""Frozen text encoders from transformers, by hub name or local folder.

Weights are read from safetensors only and no code of the model's folder is ever run.

Letters: U captions, L tokens, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from facegen.formats.model_folders import PretrainedFolder

DEFAULT_MAX_TOKENS = 77  # CLIP's context
WITHOUT_NETWORK = (
    "Without: copy the model's folder here (config.json, model.safetensors, a tokenizer's files) and "
    "give its path in place of the name: --set conditioner.encoder=FOLDER"
)
BATCH_CAPTIONS = 64
OPTIONAL_WEIGHTS = ("pooler.",)  # absent from many checkpoints, and not used here


class TextEncoder:
    """A frozen encoder with its tokenizer, from a local folder, the hub's cache, or the hub.

    Also a pipeline's folder, with the two in `text_encoder` and `tokenizer`. CLIP gives its text half,
    encoder-decoder models their encoder. Captions are cut to `max_tokens`, with `pad` filled up to it and the
    padding read as well. Not a module, so that it never enters a state_dict.

    Raises:
        MissingModelError: not there and not to be had; says how to fetch it.
        DataError: there, but not a complete text encoder in safetensors.
    """

    def __init__(
        self,
        name_or_folder: str,
        *,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        pad: bool = False,
        device: str | torch.device = "cpu",
    ) -> None:
        needed = "config.json, the tokenizer's files and model.safetensors"
        published = PretrainedFolder(name_or_folder, "text encoder", needed, WITHOUT_NETWORK)
        from transformers import AutoConfig, AutoModel, AutoTokenizer, CLIPTextModel

        own, words = (
            {"subfolder": part} if (published.folder / part).is_dir() else {}
            for part in ("text_encoder", "tokenizer")
        )
        config = published.load(AutoConfig.from_pretrained, **own)
        self.tokenizer = published.load(AutoTokenizer.from_pretrained, **words)
        network = CLIPTextModel if config.model_type in ("clip", "clip_text_model") else AutoModel
        model = published.network(network.from_pretrained, OPTIONAL_WEIGHTS, **own)
        self.model = (model.get_encoder() if config.is_encoder_decoder else model).to(device)
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        positions = getattr(self.model.config, "max_position_embeddings", None)
        limits = [max_tokens, self.tokenizer.model_max_length, positions]
        self.pad = pad
        self.max_tokens: int = min(limit for limit in limits if limit is not None)
        self.token_dim: int = self.model.config.hidden_size

    @torch.inference_mode()
    def embed(
        self, captions: Sequence[str], advance: Callable[[int], None] = lambda count: None
    ) -> tuple[Float[Tensor, "U L D"], Bool[Tensor, "U L"]]:
        """Last hidden states of `captions`: tokens (float32) and mask, both on the CPU.

        L is the longest caption's length in tokens; beyond a caption's own, tokens are zero and the mask is
        False. `advance` is told how many captions each batch has finished.
        """
        pad_id = self.tokenizer.pad_token_id
        # An encoder without start or end marks has no token for "": one padding token stands for it.
        ids = [row or [pad_id] for row in self._read(list(captions))["input_ids"]]
        if self.pad:
            ids = [row + [pad_id] * (self.max_tokens - len(row)) for row in ids]
        longest = max((len(row) for row in ids), default=1)
        tokens = torch.zeros(len(ids), longest, self.token_dim)
        mask = torch.zeros(len(ids), longest, dtype=torch.bool)
        for start in range(0, len(ids), BATCH_CAPTIONS):
            rows = ids[start : start + BATCH_CAPTIONS]
            length = max(len(row) for row in rows)
            padded = torch.tensor([row + [pad_id] * (length - len(row)) for row in rows])
            visible = torch.tensor([[i < len(row) for i in range(length)] for row in rows])
            padded, visible = padded.to(self.model.device), visible.to(self.model.device)
            hidden = self._hidden(padded, visible)
            part = slice(start, start + len(rows))
            tokens[part, :length] = (hidden.float() * visible[:, :, None]).cpu()
            mask[part, :length] = visible.cpu()
            advance(len(rows))
        return tokens, mask

    def _hidden(
        self, ids: Int64[Tensor, "B L"], visible: Bool[Tensor, "B L"]
    ) -> Float[Tensor, "B L {self.token_dim}"]:
        return self.model(input_ids=ids, attention_mask=visible.long()).last_hidden_state

    def words_of(self, caption: str) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """The words of `caption` and the numbers of their tokens, as `embed` orders them.

        What the tokenizer adds, such as a start mark, stands as a word of its own in brackets.
        """
        read, tokenizer = self._read(caption), self.tokenizer
        names = tokenizer.convert_ids_to_tokens(read["input_ids"])
        groups: list[tuple[str, list[int]]] = []
        if not tokenizer.is_fast:  # only the others know where in the text a token comes from
            groups = [(name, [number]) for number, name in enumerate(names)]
        else:
            marks = dict.fromkeys((tokenizer.sep_token, tokenizer.eos_token), "end")
            marks |= dict.fromkeys((tokenizer.cls_token, tokenizer.bos_token), "start")
            words = read.word_ids()
            for number, (name, word) in enumerate(zip(names, words, strict=True)):
                if word is None:
                    groups.append((f"({marks.get(name, name)})", [number]))
                elif number and word == words[number - 1]:
                    groups[-1][1].append(number)
                else:
                    span = read.word_to_chars(word)
                    groups.append((caption[span.start : span.end].strip(), [number]))
        return tuple((text, tuple(numbers)) for text, numbers in groups) or (("(nothing)", (0,)),)

    def _read(self, text: str | list[str]) -> Any:
        return self.tokenizer(text, truncation=True, max_length=self.max_tokens)
