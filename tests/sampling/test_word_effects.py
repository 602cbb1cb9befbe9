"""A word that the encoder ignores is named, one that it heeds is not, and the pictures stay the same."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from support.generator_parts import tiny_generator, tiny_recipe
from support.tiny_text_encoder import TOKEN_DIM, save_tiny_text_encoder

from facegen.models.generator import FaceGenerator
from facegen.sampling.request import explain
from facegen.sampling.word_effects import MAX_WORDS, WordEffects, word_effects


class WordByWord:
    """An encoder in which each word is a token that knows nothing of the others; `ignored` has none."""

    token_dim, max_tokens = TOKEN_DIM, 77

    def __init__(self, ignored: str) -> None:
        self.ignored = ignored

    def embed(self, captions: list[str], advance: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
        rows = [
            [self._token(word) for word in ["<start>", *caption.split()] if word != self.ignored]
            for caption in captions
        ]
        mask = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.bool)
        tokens = torch.zeros(*mask.shape, TOKEN_DIM)
        for number, row in enumerate(rows):
            tokens[number, : len(row)] = torch.stack(row)
            mask[number, : len(row)] = True
        return tokens, mask

    def _token(self, word: str) -> torch.Tensor:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
        return torch.randn(TOKEN_DIM, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def generator(tmp_path: Path) -> FaceGenerator:
    made = tiny_generator(tiny_recipe({"kind": "text", "encoder": str(save_tiny_text_encoder(tmp_path))}))
    made.conditioner.__dict__["encoder"] = WordByWord(ignored="glasses")
    return made


def test_a_word_that_is_ignored_is_weak_and_others_are_not(generator: FaceGenerator) -> None:
    effects = word_effects(generator, "a smiling woman with glasses")
    shares = dict(effects.shares)
    assert set(shares) == {"smiling", "woman", "glasses"}
    assert shares["glasses"] == 0
    assert min(shares["smiling"], shares["woman"]) > 0.1
    assert effects.weak == ("glasses",)


def test_a_single_word_does_what_the_whole_prompt_does(generator: FaceGenerator) -> None:
    assert dict(word_effects(generator, "smiling").shares)["smiling"] == pytest.approx(1)


def test_a_prompt_that_changes_nothing_is_all_weak(generator: FaceGenerator) -> None:
    assert word_effects(generator, "glasses glasses").weak == ("glasses", "glasses")


def test_no_more_than_so_many_words_are_measured(generator: FaceGenerator) -> None:
    effects = word_effects(generator, " ".join(f"word{number}" for number in range(MAX_WORDS + 3)))
    assert len(effects.shares) == MAX_WORDS
    assert "last 3 words" in effects.notes[-1]


def test_measuring_leaves_the_pictures_and_the_random_numbers_alone(generator: FaceGenerator) -> None:
    before = generator.sample("smiling glasses", count=2).images
    state = torch.get_rng_state()
    word_effects(generator, "smiling glasses")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(generator.sample("smiling glasses", count=2).images, before)


def test_explaining_names_them(generator: FaceGenerator) -> None:
    assert "'glasses'" in explain(generator, "smiling glasses").notes[0]


def test_models_of_labels_are_not_measured() -> None:
    assert word_effects(tiny_generator(), "smiling") == WordEffects()
