import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from support.draws import draws_of

from facegen.conditioners import text
from facegen.conditioners._text_encoder import TextEncoder
from facegen.errors import DataError, MissingModelError, UsageError
from facegen.formats.latents import TextEmbeddings
from facegen.types import LabelSchema, PromptReading, SampleSpec

SAMPLE = SampleSpec((4, 8, 8))

CAPTIONS = ["", "a smiling woman", "an old man with a long grey beard and a hat", "a man"]


def build(encoder: Path | str, **options) -> text.TextConditioner:
    return text.build(text.Config(encoder=str(encoder), **options), LabelSchema(), SAMPLE)


def test_embeddings_do_not_depend_on_who_else_is_in_the_batch(tiny_text_encoder) -> None:
    encoder = TextEncoder(str(tiny_text_encoder))
    tokens, mask = encoder.embed(CAPTIONS)
    assert tokens.dtype == torch.float32
    assert mask.sum(dim=1).tolist() == [2, 15, 32, 6]  # a token a letter here, with start and end; 32 at most
    assert tokens[~mask].abs().max() == 0
    for row, caption in enumerate(CAPTIONS):
        alone, _ = encoder.embed([caption])
        assert torch.allclose(alone[0].float(), tokens[row, : alone.shape[1]].float(), atol=1e-2)


def test_captions_are_cut_to_max_tokens(tiny_text_encoder) -> None:
    encoder = TextEncoder(str(tiny_text_encoder), max_tokens=9)
    tokens, mask = encoder.embed(CAPTIONS)
    assert tokens.shape == (4, 9, 16)
    assert mask.sum(dim=1).tolist() == [2, 9, 9, 6]


def test_a_cached_table_spares_the_encoder(tiny_text_encoder) -> None:
    tokens, mask = TextEncoder(str(tiny_text_encoder)).embed(CAPTIONS)
    cached = build("no-such/encoder")
    cached.attach(TextEmbeddings("no-such/encoder", CAPTIONS, tokens, mask), None)
    frame = pd.DataFrame({"caption": ["a man", "a smiling woman"]})
    fresh = build(tiny_text_encoder)
    told, expected = cached(cached.inputs(frame)), fresh(fresh.inputs(frame))
    length = expected.tokens.shape[1]
    assert torch.allclose(told.tokens[:, :length], expected.tokens, atol=1e-2)
    assert torch.equal(told.token_mask[:, :length], expected.token_mask)
    assert torch.allclose(told.vector, expected.vector, atol=1e-2)
    assert cached.spec == text.ConditioningSpec(16, 16, 77)
    assert cached(cached.null_inputs(2)).token_mask.sum().item() == 4


def test_a_table_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="do not fit together: 1 captions"):
        build("x/y").attach(TextEmbeddings("x/y", ["a"], torch.zeros(2, 3, 4), torch.ones(2, 3)), None)


def test_new_and_longer_words_are_added_to_the_table(tiny_text_encoder) -> None:
    conditioner = build(tiny_text_encoder)
    before = conditioner(conditioner.inputs_from(conditioner.read("a man")))
    after = conditioner(conditioner.inputs_from(conditioner.read("a man with a very long beard")))
    again = conditioner(conditioner.inputs_from(conditioner.read("a man")))
    assert after.tokens.shape[1] > before.tokens.shape[1]
    assert torch.equal(again.tokens[:, : before.tokens.shape[1]], before.tokens)
    assert torch.equal(again.vector, before.vector)


def test_each_phrasing_is_chosen_and_some_samples_see_the_empty_caption(tiny_text_encoder) -> None:
    conditioner = build(tiny_text_encoder, dropout=0.25)
    frame = pd.DataFrame({"caption": ["a", "b"], "captions": [["a man", "a boy", "a lad"], None]})
    inputs = conditioner.inputs(frame)
    assert inputs.shape == (2, 3)
    assert len(set(inputs[0].tolist())) == 3
    assert len(set(inputs[1].tolist())) == 1  # no phrasings: its caption
    drawn = conditioner.drop(inputs[:1].expand(12_000, 3), draws_of(12_000))
    assert drawn.shape == (12_000, 1)
    shares = torch.bincount(drawn[:, 0]) / len(drawn)
    null = conditioner.null_inputs(1).item()
    assert shares[[*inputs[0].tolist(), null]].sub(0.25).abs().max() < 0.02


def test_prompts_are_understood_whole_and_values_are_not(tiny_text_encoder) -> None:
    conditioner = build(tiny_text_encoder)
    reading = conditioner.read("  a woman, not smiling ")
    assert reading.understood == (("a woman, not smiling", "text"),)
    assert not reading.not_understood
    with pytest.raises(UsageError, match="cannot be told Smiling by value"):
        conditioner.inputs_from(PromptReading({"Smiling": -1.0}))


def test_neither_encoder_nor_table_is_in_the_state_dict(tiny_text_encoder) -> None:
    conditioner = build(tiny_text_encoder)
    conditioner.null_inputs(1)
    assert conditioner.state_dict() == {}
    assert list(conditioner.parameters()) == []


def test_padding_is_hidden_from_an_encoder_that_looks_both_ways(tmp_path) -> None:
    from transformers import BertConfig, BertModel

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "man"]
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}', encoding="utf-8")
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    encoder = TextEncoder(str(tmp_path))
    tokens, mask = encoder.embed(["a man", ""])
    assert tokens.shape == (2, 4, 12)
    assert mask.sum(dim=1).tolist() == [4, 2]
    assert torch.allclose(encoder.embed([""])[0][0].float(), tokens[1, :2].float(), atol=2e-3)


def test_weights_in_pickle_and_foreign_code_are_refused(tiny_text_encoder, tmp_path) -> None:
    pickled = tmp_path / "pickled"
    shutil.copytree(tiny_text_encoder, pickled)
    (pickled / "model.safetensors").unlink()
    torch.save({}, pickled / "pytorch_model.bin")
    with pytest.raises(DataError, match="cannot be loaded as text encoder"):
        TextEncoder(str(pickled))

    foreign = tmp_path / "foreign"
    shutil.copytree(tiny_text_encoder, foreign)
    settings = json.loads((foreign / "config.json").read_text(encoding="utf-8"))
    settings |= {
        "model_type": "songbird",
        "auto_map": {"AutoConfig": "canary.Config", "AutoModel": "canary.M"},
    }
    (foreign / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    sung = tmp_path / "sung"
    (foreign / "canary.py").write_text(f"open({str(sung)!r}, 'w')", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be loaded as text encoder"):
        TextEncoder(str(foreign))
    assert not sung.exists()


@pytest.mark.parametrize("damage", ["config", "weights"])
def test_damaged_files_are_refused_in_words(damage: str, tiny_text_encoder, tmp_path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_text_encoder, folder)
    if damage == "config":
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps({**settings, "hidden_size": "wide"}), encoding="utf-8")
    else:
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-7])
    with pytest.raises(DataError, match="cannot be loaded as text encoder"):
        TextEncoder(str(folder))


def test_a_checkpoint_that_lacks_weights_is_refused(tiny_text_encoder, tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "lacking"
    shutil.copytree(tiny_text_encoder, folder)
    tensors = load_file(folder / "model.safetensors")
    dropped = next(name for name in tensors if "layers.1" in name)
    save_file({k: v for k, v in tensors.items() if k != dropped}, folder / "model.safetensors")
    with pytest.raises(DataError, match="lacks 1 weights"):
        TextEncoder(str(folder))


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(MissingModelError, match=r"There is no folder './nowhere'"):
        TextEncoder("./nowhere")


@pytest.mark.parametrize(
    "surroundings", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}]
)
def test_without_network_the_remedies_come_within_seconds(surroundings, tmp_path) -> None:
    code = """
from facegen.conditioners._text_encoder import TextEncoder
from facegen.errors import MissingModelError
try:
    TextEncoder("openai/clip-vit-large-patch14")
except MissingModelError as error:
    print(error.exit_code, error)
"""
    environment = {**os.environ, "HF_HOME": str(tmp_path), **surroundings}
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert time.monotonic() - started < 60
    assert done.stdout.startswith("4 ")
    assert "hf download openai/clip-vit-large-patch14\n" in done.stdout
    assert "--set conditioner.encoder=FOLDER" in done.stdout


def test_tokens_are_named_by_the_words_they_belong_to(tiny_text_encoder) -> None:
    conditioner = build(tiny_text_encoder)
    named = conditioner.named_tokens(conditioner.read(" a Man, old "))
    assert [text for text, _ in named] == ["(start)", "a", "Man", ",", "old", "(end)"]
    assert [numbers for _, numbers in named] == [(0,), (1,), (2, 3, 4), (5,), (6, 7, 8), (9,)]
    told = conditioner(conditioner.inputs_from(conditioner.read("a Man, old")))
    assert told.token_mask.sum() == 10
    cut = build(tiny_text_encoder, max_tokens=4).named_tokens(PromptReading({"a man": 1.0}))
    assert cut == (("(start)", (0,)), ("a", (1,)), ("m", (2,)), ("(end)", (3,)))
    assert conditioner.named_tokens(PromptReading({})) == (("(start)", (0,)), ("(end)", (1,)))


def test_loading_draws_no_bars_of_its_own(tiny_text_encoder, capfd) -> None:
    TextEncoder(str(tiny_text_encoder))
    assert capfd.readouterr() == ("", "")
