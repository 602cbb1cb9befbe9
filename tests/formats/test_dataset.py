from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from facegen.errors import DataError, StorageError
from facegen.formats.dataset import Dataset, DatasetManifest
from facegen.formats.dataset_writer import DatasetWriter, parquet_schema
from facegen.formats.images import encode_png
from facegen.formats.plain import from_plain
from facegen.types import LabelSchema

LABELS = LabelSchema(("Smiling", "Bald"), {"mood": ("glad", "glum")})
SIZE = 8


def image(index: int) -> torch.Tensor:
    return torch.full((3, SIZE, SIZE), index, dtype=torch.uint8)


def write(folder: Path, num_rows: int = 300, rows_per_file: int = 256) -> Dataset:
    rows = [
        {
            "image": encode_png(image(index % 250)),
            "id": f"笑顔 {index}",
            "split": "train",
            "caption": "a face",
            "captions": ["a face", "face"],
            "identity": None,
            "sha256": f"{index:064d}",
            "Smiling": [True, False, None][index % 3],
            "Bald": None,
            "mood": ["glad", None][index % 2],
            "age": index,
        }
        for index in range(num_rows)
    ]
    writer = DatasetWriter(folder, LABELS, {"age": "int"}, {"size": SIZE, "crop": "none"})
    writer.write_split("train", rows, num_rows, rows_per_file)
    writer.write_split("test", [{**row, "split": "test"} for row in rows[:3]], 3, rows_per_file)
    rejects = [("x", "folder/x.jpg", "duplicate: same bytes as y"), ("z", "z.jpg", "unreadable: empty")]
    writer.finish(rejects=rejects, kind="test", image_size=SIZE)
    return Dataset.open(folder)


def test_labels_and_images_come_back_in_order(tmp_path: Path) -> None:
    split = write(tmp_path).split("train")
    frame = split.frame
    assert len(split) == len(frame) == 300
    assert frame["id"].tolist()[:2] == ["笑顔 0", "笑顔 1"]
    assert str(frame["Smiling"].dtype) == "Int8"
    assert frame["Smiling"][:3].tolist() == [1, 0, pd.NA]
    assert frame["Bald"].isna().all()
    assert frame["age"].tolist()[299] == 299
    assert list(frame["captions"][0]) == ["a face", "face"]
    wanted = [299, 0, 127, 128, 0]
    images = split.images(torch.tensor(wanted))
    assert images.dtype == torch.uint8
    assert torch.equal(images, torch.stack([image(index % 250) for index in wanted]))


def test_files_are_cut_as_hugging_face_names_them(tmp_path: Path) -> None:
    write(tmp_path)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "test-00000-of-00001.parquet",
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
    ]


def test_the_manifest_counts_rates_classes_and_rejects(tmp_path: Path) -> None:
    manifest = write(tmp_path).manifest
    assert manifest.counts == {"train": 300, "test": 3}
    assert manifest.attribute_rates == {"Smiling": 0.5, "Bald": None}
    assert manifest.class_counts == {"mood": {"glad": 152, "glum": 0}}
    assert manifest.rejects == {"duplicate": 1, "unreadable": 1}
    assert from_plain(DatasetManifest, manifest.to_json(), Path("dataset.json")) == manifest
    rejects = pd.read_csv(tmp_path / "rejects.csv")
    assert rejects.iloc[0].tolist() == ["x", "folder/x.jpg", "duplicate: same bytes as y"]


def test_pandas_and_hugging_face_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "set")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    assert len(pd.read_parquet(tmp_path / "set" / "data")) == 303
    datasets.disable_progress_bars()
    loaded = datasets.load_dataset(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    assert {name: part.num_rows for name, part in loaded.items()} == {"train": 300, "test": 3}
    row = loaded["train"][7]
    assert row["image"].size == (SIZE, SIZE)
    assert row["image"].getpixel((0, 0)) == (7, 7, 7)
    assert (row["id"], row["Smiling"], row["mood"], row["age"]) == ("笑顔 7", 0, None, 7)
    assert row["captions"] == ["a face", "face"]


def test_an_edited_image_changes_the_fingerprint(tmp_path: Path) -> None:
    write(tmp_path).verify()
    path = tmp_path / "data" / "test-00000-of-00001.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[1]["image"]["bytes"] = encode_png(image(99))
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), path)
    with pytest.raises(DataError, match="was changed after it was prepared"):
        Dataset.open(tmp_path).verify()


def test_a_missing_truncated_or_surplus_file_is_told(tmp_path: Path) -> None:
    write(tmp_path)
    second = tmp_path / "data" / "train-00001-of-00002.parquet"
    whole = second.read_bytes()
    second.unlink()
    with pytest.raises(StorageError, match=r"holds 256 rows where dataset.json says 300"):
        Dataset.open(tmp_path).split("train")
    second.write_bytes(whole[:-7])
    with pytest.raises(StorageError, match="train-00001"):
        Dataset.open(tmp_path).split("train")
    second.write_bytes(whole)
    shutil.copy(second, tmp_path / "data" / "train-00009-of-00002.parquet")
    with pytest.raises(StorageError, match="holds 344 rows"):
        Dataset.open(tmp_path).split("train")


def test_a_folder_that_is_no_data_set_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no dataset.json.*\nMake one: facegen prepare"):
        Dataset.open(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        Dataset.open(tmp_path / "missing")


def test_an_empty_split_is_told_with_those_that_hold_images(tmp_path: Path) -> None:
    dataset = write(tmp_path)
    assert dataset.splits == ("train", "test")
    with pytest.raises(DataError, match=r"no images in split 'validation'.*\n.*train \(300\), test \(3\)"):
        dataset.split("validation")


def test_a_label_may_not_be_called_like_a_column() -> None:
    with pytest.raises(DataError, match="called 'caption'"):
        parquet_schema(LabelSchema(("caption",)), {})
