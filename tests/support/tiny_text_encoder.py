"""A CLIP text model of a few thousand random weights, saved in Hugging Face's layout."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest
import torch

from facegen.compat import guard_torchvision

TOKEN_DIM = 16


def save_tiny_text_encoder(folder: Path) -> Path:
    """Write config.json, model.safetensors, vocab.json, merges.txt and tokenizer_config.json."""
    guard_torchvision()
    from transformers import CLIPTextConfig, CLIPTextModel

    letters = list(string.ascii_lowercase + string.punctuation + string.digits)
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=TOKEN_DIM,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=32,
        bos_token_id=vocabulary["<|startoftext|>"],
        eos_token_id=vocabulary["<|endoftext|>"],
        pad_token_id=vocabulary["<|endoftext|>"],
    )
    CLIPTextModel(config).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 32, "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_text_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_text_encoder(tmp_path_factory.mktemp("text-encoder"))
