"""A CLIP of a few thousand random weights, saved in Hugging Face's layout."""

from __future__ import annotations

import json
import string
from pathlib import Path

import torch

from facegen.compat import guard_torchvision


def save_tiny_clip(folder: Path) -> Path:
    """Write config.json, model.safetensors, tokenizer files and preprocessor_config.json (24 pixels)."""
    guard_torchvision()
    from transformers import CLIPConfig, CLIPModel

    letters = list(string.ascii_lowercase + string.punctuation + string.digits)
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    ids = {word: number for number, word in enumerate(words)}
    half = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {
        **half,
        "vocab_size": len(words),
        "max_position_embeddings": 24,
        "bos_token_id": ids["<|startoftext|>"],
        "eos_token_id": ids["<|endoftext|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config=text, vision_config={**half, "image_size": 24, "patch_size": 8}, projection_dim=12
    )
    model = CLIPModel(config)
    for parameter in model.parameters():  # fresh weights are so small that all images look the same
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    tokenizer = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 24, "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 24},
        "crop_size": {"height": 24, "width": 24},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    return folder
