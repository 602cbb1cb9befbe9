from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from facegen.errors import DataError, StorageError
from facegen.formats.files import read_json, sha256_of, write_json
from facegen.formats.latents import LatentIndex, LatentStore, TextEmbeddings, map_safetensors, read_index
from facegen.formats.latents_writing import write_index, write_records, write_tensors, write_text_embeddings
from facegen.formats.plain import from_plain
from facegen.types import LabelSchema, LatentScaling

SHAPE = (4, 3, 3)
SHARD_SIZES = (5, 5, 2)


def write_latents(folder: Path, *, flips: bool = True, texts: bool = False) -> dict[str, torch.Tensor]:
    """Three shards of 12 random rows; returns what they hold."""
    generator = torch.Generator().manual_seed(0)
    names = ["mean", "log_variance", *(["mean_flipped", "log_variance_flipped"] if flips else [])]
    whole = {name: torch.randn(sum(SHARD_SIZES), *SHAPE, generator=generator).half() for name in names}
    shards, start = [], 0
    for number, size in enumerate(SHARD_SIZES):
        part = {name: values[start : start + size].contiguous() for name, values in whole.items()}
        shards.append(write_tensors(folder, f"latents-train-{number:05d}.safetensors", part))
        start += size
    frame = pd.DataFrame({"id": [f"r{i}" for i in range(start)]})
    frame["Smiling"] = pd.array([1, 0, None] * (start // 3), dtype="Int8")
    table = TextEmbeddings(
        "enc", ["", "a face"], torch.ones(2, 3, 5).half(), torch.ones(2, 3, dtype=torch.bool)
    )
    write_index(
        folder,
        LatentIndex(
            sample_shape=SHAPE,
            scaling=LatentScaling((0.0,) * 4, (1.0,) * 4),
            labels=LabelSchema(attributes=("Smiling",)),
            image_size=12,
            flips=flips,
            autoencoder={"source": "x", "kind": "compact", "fingerprint": "f"},
            dataset_fingerprint="d",
            transform={},
            shards={"train": tuple(shards)},
            records={"train": write_records(folder, "train", frame)},
            text_encoder="enc" if texts else None,
            text_embeddings=write_text_embeddings(folder, table) if texts else None,
        ),
    )
    return whole


def test_gather_gives_any_rows_in_the_order_asked_for(tmp_path: Path) -> None:
    whole = write_latents(tmp_path)
    split = LatentStore.open(tmp_path).split("train")
    indices = torch.tensor([11, 0, 4, 5, 5, 9, 10, 3])
    moments = split.gather(indices)
    assert len(split) == 12
    assert moments.mean.dtype == moments.log_variance.dtype == torch.float32
    assert torch.equal(moments.mean, whole["mean"][indices].float())
    assert torch.equal(moments.log_variance, whole["log_variance"][indices].float())


def test_gather_takes_the_mirror_image_where_asked(tmp_path: Path) -> None:
    whole = write_latents(tmp_path)
    indices, flipped = torch.tensor([6, 1, 11, 6]), torch.tensor([True, False, True, False])
    moments = LatentStore.open(tmp_path).split("train").gather(indices, flipped)
    for name, values in (("mean", moments.mean), ("log_variance", moments.log_variance)):
        mirrored, plain = whole[f"{name}_flipped"][indices], whole[name][indices]
        assert torch.equal(values, torch.where(flipped.view(-1, 1, 1, 1), mirrored, plain).float())


def test_records_in_another_order_than_the_shards_get_their_own_rows(tmp_path: Path) -> None:
    whole = write_latents(tmp_path)
    before = read_index(tmp_path)
    row = torch.tensor([7, 0, 11, 1, 2, 3, 4, 5, 6, 8, 9, 10])
    order = {"train": write_tensors(tmp_path, "order-train.safetensors", {"row": row})}
    write_index(tmp_path, replace(before, order=order))
    store = LatentStore.open(tmp_path, verify=True)
    indices, flipped = torch.tensor([2, 0, 11]), torch.tensor([True, False, False])
    assert torch.equal(store.split("train").gather(indices).mean, whole["mean"][row[indices]].float())
    mirrored = store.split("train").gather(indices, flipped).mean[0]
    assert torch.equal(mirrored, whole["mean_flipped"][11].float())
    assert store.index.fingerprint != before.fingerprint
    told = json.loads((tmp_path / "index.json").read_text())
    assert told["format_version"] == 2  # which a reader that knows of no order refuses


def test_other_content_that_an_index_names_is_written_beside(tmp_path: Path) -> None:
    values = torch.arange(3)
    old = write_tensors(tmp_path, "a.safetensors", {"x": values})
    assert write_tensors(tmp_path, "a.safetensors", {"x": values}, standing=[old]) == old
    new = write_tensors(tmp_path, "a.safetensors", {"x": values + 1}, standing=[old])
    assert new.name == f"a-{new.sha256[:8]}.safetensors"
    assert torch.equal(load_file(tmp_path / old.name)["x"], values)
    assert torch.equal(load_file(tmp_path / new.name)["x"], values + 1)


def test_an_empty_gather_is_empty(tmp_path: Path) -> None:
    write_latents(tmp_path)
    split = LatentStore.open(tmp_path).split("train")
    assert split.gather(torch.zeros(0, dtype=torch.int64)).mean.shape == (0, *SHAPE)


@pytest.mark.parametrize("index", [-1, 12])
def test_rows_outside_the_split_are_refused(tmp_path: Path, index: int) -> None:
    write_latents(tmp_path)
    with pytest.raises(IndexError, match=r"outside 0\.\.11"):
        LatentStore.open(tmp_path).split("train").gather(torch.tensor([index]))


def test_mirror_images_that_were_not_encoded_are_refused(tmp_path: Path) -> None:
    write_latents(tmp_path, flips=False)
    split = LatentStore.open(tmp_path).split("train")
    with pytest.raises(DataError, match="without mirror images"):
        split.gather(torch.tensor([0]), torch.tensor([True]))


def test_writing_into_gathered_or_mapped_values_leaves_the_file_alone(tmp_path: Path) -> None:
    whole = write_latents(tmp_path)
    split = LatentStore.open(tmp_path).split("train")
    split.gather(torch.tensor([0])).mean.zero_()
    tensors, _ = map_safetensors(tmp_path / "latents-train-00000.safetensors")
    tensors["mean"].zero_()
    LatentStore.open(tmp_path, verify=True)
    assert torch.equal(split.gather(torch.tensor([0])).mean, whole["mean"][:1].float())


def test_each_shard_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_latents(tmp_path)
    opened = []

    def counted(path: Path) -> object:
        opened.append(path.name)
        return map_safetensors(path)

    monkeypatch.setattr("facegen.formats.latents.map_safetensors", counted)
    split = LatentStore.open(tmp_path).split("train")
    for _ in range(5):
        split.gather(torch.arange(12))
    assert len(opened) == len(set(opened)) == 3


def test_plain_safetensors_reads_a_shard(tmp_path: Path) -> None:
    whole = write_latents(tmp_path)
    shard = load_file(tmp_path / "latents-train-00001.safetensors")
    assert torch.equal(shard["mean"], whole["mean"][5:10])


def test_labels_come_back_with_unknown_ones_unknown(tmp_path: Path) -> None:
    write_latents(tmp_path)
    frame = LatentStore.open(tmp_path).split("train").frame
    assert frame["Smiling"].dtype == "Int8"
    assert frame["Smiling"].isna().tolist() == [False, False, True] * 4


def test_labels_are_in_memory_as_long_as_somebody_holds_them(tmp_path: Path) -> None:
    write_latents(tmp_path)
    split = LatentStore.open(tmp_path).split("train")
    frame = split.frame
    assert split.frame is frame
    told = weakref.ref(frame)
    del frame
    gc.collect()
    assert told() is None
    assert len(split.frame) == len(split)


def test_the_index_survives_its_json(tmp_path: Path) -> None:
    write_latents(tmp_path, texts=True)
    index = LatentStore.open(tmp_path).index
    assert from_plain(LatentIndex, json.loads(json.dumps(index.to_json())), Path("index.json")) == index
    assert index.counts == {"train": 12}


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    write_latents(tmp_path / "a")
    write_latents(tmp_path / "b")
    write_latents(tmp_path / "c", flips=False)
    a, b, c = (LatentStore.open(tmp_path / name).index.fingerprint for name in "abc")
    assert a == b != c


def test_text_embeddings_come_back_as_they_were(tmp_path: Path) -> None:
    write_latents(tmp_path, texts=True)
    table = LatentStore.open(tmp_path, verify=True).text_embeddings
    assert table is not None
    assert (table.encoder, table.captions) == ("enc", ["", "a face"])
    assert table.tokens.shape == (2, 3, 5)
    assert table.mask.dtype == torch.bool
    assert bool(table.mask.all())


def test_without_text_embeddings_there_are_none(tmp_path: Path) -> None:
    write_latents(tmp_path)
    assert LatentStore.open(tmp_path).text_embeddings is None


def test_an_unfinished_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="facegen encode DATASET"):
        LatentStore.open(tmp_path)


def test_an_unknown_format_version_is_refused(tmp_path: Path) -> None:
    write_latents(tmp_path)
    write_json(tmp_path / "index.json", read_json(tmp_path / "index.json", 1) | {"format_version": 99})
    with pytest.raises(DataError, match="format version 99"):
        LatentStore.open(tmp_path)


def test_a_split_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    write_latents(tmp_path)
    with pytest.raises(DataError, match=r"no split 'trian'[\s\S]*'train'"):
        LatentStore.open(tmp_path).split("trian")


def test_a_file_that_is_not_safetensors_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"not at all, not at all")
    with pytest.raises(StorageError, match=r"x\.safetensors' is missing or damaged"):
        map_safetensors(tmp_path / "x.safetensors")


WRITES_A_TABLE = """
import sys
from pathlib import Path
import torch
from facegen.formats.latents import ImageFeatures
from facegen.formats.latents_writing import write_image_features

table = ImageFeatures("enc", "f", ["a", "b"], torch.ones(2, 3).half(), [0.5, 1.0, 2.0], [1.0, 1.0, 1.0])
print(write_image_features(Path(sys.argv[1]), table).sha256)
"""


def test_every_process_writes_the_same_bytes(tmp_path: Path) -> None:
    """safetensors keeps its metadata, four entries here, in an order that is drawn in each process."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITES_A_TABLE, str(tmp_path / seed)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("0", "1", "2")
    ]
    told = [writer.communicate()[0].split() for writer in writers]
    files = [next((tmp_path / seed).iterdir()) for seed in ("0", "1", "2")]
    digests = {sha256_of(written) for written in files}
    assert told == [[sha256_of(written)] for written in files]
    written = files[-1]
    assert len(digests) == 1
    tensors, metadata = map_safetensors(written)
    assert torch.equal(tensors["features"], torch.ones(2, 3).half())
    assert metadata == {
        "encoder": "enc",
        "fingerprint": "f",
        "mean": "[0.5, 1.0, 2.0]",
        "std": "[1.0, 1.0, 1.0]",
    }


@pytest.mark.parametrize("caption", ["a face", 'says "so"\\ \t\n\x01\x7f', "笑顔 \u2028 🙂"])
def test_any_caption_comes_back(tmp_path: Path, caption: str) -> None:
    table = TextEmbeddings("enc", [caption], torch.ones(1, 3, 5).half(), torch.ones(1, 3, dtype=torch.bool))
    tensors, metadata = map_safetensors(tmp_path / write_text_embeddings(tmp_path, table).name)
    assert json.loads(metadata["captions"]) == [caption]
    assert torch.equal(tensors["tokens"], table.tokens)
