from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image
from support.hub_server import HubServer, hub_server, parquet_bytes

from facegen.datasets._parquet_images import ImageReader
from facegen.errors import DataError, MissingModelError, StorageError, UsageError
from facegen.formats.dataset import Dataset
from facegen.preparation.prepare import PrepareOptions, PrepareSummary, prepare
from facegen.progress import SilentProgress

REPO = "some-lab/faces"
LABELS = {"names": ["Asian", "Black", "White"], "_type": "ClassLabel"}
FEATURES = {"image": {"_type": "Image"}, "label": LABELS}


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (24, 20), (number % 256, 7 * number % 256, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def faces(first: int, count: int, **columns: Any) -> bytes:
    numbers = range(first, first + count)
    plain = {
        "image": [picture(number) for number in numbers],
        "label": pa.array([number % 3 for number in numbers], pa.int64()),
        "attr_smile": [number % 2 == 0 for number in numbers],
        "young": pa.array([1 if number % 4 else -1 for number in numbers], pa.int8()),
        "text": [f"A person, number {number}" for number in numbers],
        "celeb_id": [number // 2 for number in numbers],
        "age": [20 + number for number in numbers],
    }
    return parquet_bytes({**plain, **columns}, features=FEATURES)


def two_splits() -> dict[str, bytes]:
    return {
        "README.md": b"---\nlicense: cc-by-4.0\n---\n# Faces\n",
        "data/train-00000-of-00002.parquet": faces(0, 10),
        "data/train-00001-of-00002.parquet": faces(10, 6),
        "data/test-00000-of-00001.parquet": faces(16, 4),
    }


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub of our own, and an empty cache."""
    from huggingface_hub import constants

    with hub_server() as server:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # whatever the surroundings say
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield server


class Listening(SilentProgress):
    """Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def say(self, message: str) -> None:
        self.told.append(message)

    def warn(self, message: str) -> None:
        self.told.append(message)


def made(source: Path | str, out: Path, progress: Listening | None = None, **options: Any) -> PrepareSummary:
    settings = PrepareOptions(size=16, workers=2, **options)
    return prepare("hub", Path(source), out, settings, progress or Listening())


def test_a_hub_data_set_becomes_a_data_set(hub: HubServer, tmp_path: Path) -> None:
    commit = hub.add(REPO, two_splits())
    progress = Listening()
    summary = made(REPO, tmp_path / "out", progress)
    assert summary.counts == {"train": 16, "test": 4}
    assert any(commit in note for note in summary.notes)
    dataset = Dataset.open(tmp_path / "out")
    assert dataset.manifest.source == {"name": REPO, "licence": "cc-by-4.0"}
    assert dataset.manifest.labels.attributes == ("attr_smile", "young")
    assert dataset.manifest.labels.classes == {"label": ("Asian", "Black", "White")}
    frame = dataset.split("train").frame
    assert frame["label"].tolist() == [["Asian", "Black", "White"][number % 3] for number in range(16)]
    assert frame["young"].tolist() == [int(number % 4 > 0) for number in range(16)]
    assert frame["identity"].tolist() == [str(number // 2) for number in range(16)]
    assert frame["age"].tolist() == list(range(20, 36))
    assert frame["caption"].tolist() == [f"A person, number {number}" for number in range(16)]
    assert dataset.split("train").images([3])[0, :, 8, 8].tolist() == [3, 21, 90]
    assert "class label: 3 values (Asian, Black, White)" in "\n".join(progress.told)


def test_columns_are_renamed_left_out_and_given_roles(hub: HubServer, tmp_path: Path) -> None:
    hub.add(REPO, two_splits())
    columns = {"attr_smile": "Smiling", "label": "race", "text": "none", "age": "age_in_years"}
    made(REPO, tmp_path / "out", columns=columns)
    dataset = Dataset.open(tmp_path / "out")
    assert dataset.manifest.labels.attributes == ("Smiling", "young")
    assert list(dataset.manifest.labels.classes) == ["race"]
    assert list(dataset.manifest.extras) == ["age_in_years"]
    caption = dataset.split("train").frame["caption"][0]
    assert "Asian person" in caption
    assert "smiling" in caption


def test_an_unknown_column_is_refused_with_its_neighbour(hub: HubServer, tmp_path: Path) -> None:
    hub.add(REPO, two_splits())
    with pytest.raises(UsageError, match=r"column 'attr_smil'. Did you mean 'attr_smile'\?\nColumns there"):
        made(REPO, tmp_path / "out", columns={"attr_smil": "Smiling"})
    with pytest.raises(UsageError, match="Two columns would be called 'young'"):
        made(REPO, tmp_path / "out", columns={"attr_smile": "young"})
    with pytest.raises(UsageError, match="'age' holds no pictures"):
        made(REPO, tmp_path / "out", columns={"age": "image"})
    assert hub.sent["data/train-00001-of-00002.parquet"] == 0
    assert not (tmp_path / "out").exists()


def test_a_limit_fetches_no_more_files_than_it_needs(hub: HubServer, tmp_path: Path) -> None:
    files = {f"data/train-{index:05d}-of-00008.parquet": faces(10 * index, 10) for index in range(8)}
    files["data/test-00000-of-00001.parquet"] = faces(90, 10)
    hub.add(REPO, files)
    summary = made(REPO, tmp_path / "out", limit=15)
    assert sum(summary.counts.values()) == 15
    assert sum(hub.sent.values()) == 2
    assert any("2 of 9 files were read" in note for note in summary.notes)


def test_the_same_command_again_fetches_nothing_again(hub: HubServer, tmp_path: Path) -> None:
    hub.add(REPO, two_splits())
    first = made(REPO, tmp_path / "a")
    sent = dict(hub.sent)
    assert made(REPO, tmp_path / "b").fingerprint == first.fingerprint
    assert dict(hub.sent) == sent
    hub.status = 500
    assert made(REPO, tmp_path / "a").already_done


def test_an_interrupted_fetch_goes_on_with_the_missing_files(hub: HubServer, tmp_path: Path) -> None:
    hub.add(REPO, two_splits())

    class Interrupting(Listening):
        def stage(self, title: str, total: int | None = None) -> Any:
            if total is not None:
                raise KeyboardInterrupt
            return super().stage(title, total)

    with pytest.raises(KeyboardInterrupt):
        made(REPO, tmp_path / "out", Interrupting())
    assert sum(hub.sent.values()) == 2  # the README and the file whose columns were shown
    made(REPO, tmp_path / "out")
    assert sum(hub.sent.values()) == 4
    assert all(count == 1 for count in hub.sent.values())


def test_a_cut_download_is_taken_up_and_an_altered_one_repeated(hub: HubServer, tmp_path: Path) -> None:
    hub.add(REPO, two_splits())
    hub.cut["data/train-00000-of-00002.parquet"] = 1
    hub.alter["data/test-00000-of-00001.parquet"] = 1
    damaged = made(REPO, tmp_path / "out")
    assert hub.sent["data/train-00000-of-00002.parquet"] == 2
    assert hub.sent["data/test-00000-of-00001.parquet"] == 2
    assert damaged.fingerprint == made(REPO, tmp_path / "again").fingerprint


def test_a_file_that_is_always_altered_is_not_kept(hub: HubServer, tmp_path: Path) -> None:
    hub.add(REPO, two_splits())
    name = "data/train-00001-of-00002.parquet"
    hub.alter[name] = 1000
    with pytest.raises(StorageError, match="checksum is not the one the hub names"):
        made(REPO, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "cache").rglob("train-00001*"))
    hub.alter.clear()
    assert made(REPO, tmp_path / "out").counts == {"train": 16, "test": 4}


@pytest.mark.parametrize("setting", [("HF_HUB_OFFLINE", True), ("ENDPOINT", "http://127.0.0.1:9")])
def test_without_a_hub_it_ends_within_seconds(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: tuple[str, Any]
) -> None:
    from huggingface_hub import constants

    hub.add(REPO, two_splits())
    monkeypatch.setattr(constants, *setting)
    started = time.monotonic()
    with pytest.raises(MissingModelError, match="the hub did not answer"):
        made(REPO, tmp_path / "out")
    assert time.monotonic() - started < 5


def test_the_command_line_without_a_hub_says_what_to_do(tmp_path: Path) -> None:
    words = ["-m", "facegen", "prepare", "hub", REPO, "--out", str(tmp_path / "out")]
    surroundings = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_CACHE": str(tmp_path)}
    environment = {**os.environ, "HF_HUB_OFFLINE": "0", **surroundings}
    result = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True)
    assert result.returncode == 4
    assert f"hf download {REPO} --repo-type dataset" in result.stderr
    assert "facegen prepare hub FOLDER" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_command_line_reads_from_hf_endpoint(tmp_path: Path) -> None:
    with hub_server() as hub:
        hub.add(REPO, two_splits())
        words = [*["-m", "facegen", "prepare", "hub"], REPO, "--out", str(tmp_path / "out"), "--size", "16"]
        result = subprocess.run(
            [sys.executable, *words, "--columns", "Smiling=attr_smile,race=label", "--json"],
            env={
                **os.environ,
                "HF_HUB_OFFLINE": "0",
                "HF_ENDPOINT": hub.url,
                "HF_HUB_CACHE": str(tmp_path / "cache"),
            },
            capture_output=True,
            text=True,
        )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["counts"] == {"train": 16, "test": 4}
    assert "Smiling from 'attr_smile'" in result.stderr
    assert "\r" not in result.stderr


def test_what_is_cached_is_read_when_the_hub_does_not_answer(hub: HubServer, tmp_path: Path) -> None:
    hub.add(REPO, two_splits())
    online = made(REPO, tmp_path / "a")
    hub.status = 503
    progress = Listening()
    offline = made(REPO, tmp_path / "b", progress)
    assert offline.fingerprint == online.fingerprint
    assert any("does not answer" in line for line in progress.told)
    next((tmp_path / "cache").rglob("train-00001*.parquet")).unlink()
    with pytest.raises(MissingModelError, match=r"status 503.*train-00001-of-00002.parquet is not cached"):
        made(REPO, tmp_path / "c")


def test_a_name_or_revision_that_is_not_there_is_named(hub: HubServer, tmp_path: Path) -> None:
    hub.add(REPO, two_splits())
    with pytest.raises(MissingModelError, match=r"'some-lab/faecs' is not on the hub"):
        made("some-lab/faecs", tmp_path / "out")
    with pytest.raises(MissingModelError, match="no revision 'v9'"):
        made(REPO, tmp_path / "out", revision="v9")
    hub.add(REPO, {"data/train.parquet": faces(0, 8)}, revision="v2")
    assert sum(made(REPO, tmp_path / "out", revision="v2").counts.values()) == 8


def test_the_hubs_own_copy_is_read_where_there_is_no_parquet(hub: HubServer, tmp_path: Path) -> None:
    hub.add(REPO, {"README.md": b"---\nlicense: mit\n---\n", "images.zip": b"zip"})
    with pytest.raises(DataError, match="no parquet files"):
        made(REPO, tmp_path / "out")
    converted = {"default/train/0000.parquet": faces(0, 8), "default/partial-test/0000.parquet": faces(8, 4)}
    hub.add(REPO, converted, revision="refs/convert/parquet")
    assert made(REPO, tmp_path / "out").counts == {"train": 8, "test": 4}
    assert Dataset.open(tmp_path / "out").manifest.source["licence"] == "mit"


def test_one_of_several_subsets_has_to_be_chosen(hub: HubServer, tmp_path: Path) -> None:
    hub.add(REPO, {"small/train-0.parquet": faces(0, 4), "large/train-0.parquet": faces(0, 12)})
    with pytest.raises(UsageError, match=r"2 subsets: large, small.*\n.*--subset large"):
        made(REPO, tmp_path / "out")
    with pytest.raises(UsageError, match="Did you mean 'small'"):
        made(REPO, tmp_path / "out", subset="smal")
    assert sum(made(REPO, tmp_path / "out", subset="small").counts.values()) == 4


def test_a_readme_says_which_files_are_which_split(hub: HubServer, tmp_path: Path) -> None:
    readme = b"""---
configs:
- config_name: all
  data_files:
  - split: train
    path: part-a-*
  - split: validation
    path: [part-b.parquet]
---
"""
    files = {"README.md": readme, "part-a-0.parquet": faces(0, 6), "part-b.parquet": faces(6, 3)}
    hub.add(REPO, {**files, "raw.parquet": faces(20, 3)})
    assert made(REPO, tmp_path / "out").counts == {"train": 6, "validation": 3}


def test_a_single_split_is_no_partition(hub: HubServer, tmp_path: Path) -> None:
    hub.add(REPO, {"data/train-00000-of-00001.parquet": faces(0, 20)})
    summary = made(REPO, tmp_path / "out")
    assert set(summary.counts) == {"train", "validation", "test"}
    assert "split by identity" in summary.notes[-1]


def test_what_prepare_wrote_is_read_again_from_its_folder(celeba_source: Path, tmp_path: Path) -> None:
    prepare("celeba", celeba_source, tmp_path / "first", PrepareOptions(size=16, workers=1))
    made(tmp_path / "first", tmp_path / "again", crop="none")
    old, new = (Dataset.open(tmp_path / name) for name in ("first", "again"))
    assert new.manifest.labels == old.manifest.labels
    assert new.manifest.counts == old.manifest.counts
    for split in old.splits:
        columns = ["id", "identity", "caption", *old.manifest.labels.attributes]
        assert new.split(split).frame[columns].equals(old.split(split).frame[columns])
        assert new.split(split).images([0]).equal(old.split(split).images([0]))


def test_a_folder_of_the_datasets_library_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets = pytest.importorskip("datasets", reason="the datasets library needs POSIX here")
    features = datasets.Features(
        {"image": datasets.Image(), "gender": datasets.ClassLabel(names=["female", "male"])}
    )
    rows = {"image": [{"bytes": picture(n), "path": f"{n:04d}.png"} for n in range(6)], "gender": [0, 1] * 3}
    (tmp_path / "faces").mkdir()
    datasets.Dataset.from_dict(rows, features).to_parquet(tmp_path / "faces" / "train.parquet")
    made(tmp_path / "faces", tmp_path / "out", splits=(1.0, 0.0, 0.0))
    frame = Dataset.open(tmp_path / "out").split("train").frame
    assert frame["id"].tolist() == [f"{n:04d}.png" for n in range(6)]
    assert frame["gender"].tolist() == ["female", "male"] * 3


def test_rows_without_a_picture_are_left_out_and_listed(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    image = pa.array(
        [{"bytes": picture(n) if n else None, "path": f"{n}.png"} for n in range(5)],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    (tmp_path / "faces" / "a.parquet").write_bytes(parquet_bytes({"image": image}))
    summary = made(tmp_path / "faces", tmp_path / "out")
    assert summary.rejects == {"unreadable": 1}
    assert "holds no picture" in (tmp_path / "out" / "rejects.csv").read_text()


def test_files_without_pictures_or_that_are_not_parquet_are_told(tmp_path: Path) -> None:
    (tmp_path / "words.parquet").write_bytes(parquet_bytes({"text": ["a", "b"]}))
    with pytest.raises(DataError, match=r"No column holds pictures.\nColumns there: text \(string\)"):
        made(tmp_path / "words.parquet", tmp_path / "out")
    (tmp_path / "bad.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(DataError, match=r"'bad.parquet' cannot be read as parquet"):
        made(tmp_path / "bad.parquet", tmp_path / "out")
    with pytest.raises(UsageError, match="--columns is for other kinds; 'utkface' has no use for it"):
        prepare("utkface", tmp_path, tmp_path / "out", PrepareOptions(columns={"a": "b"}))


def test_only_a_few_rows_of_a_large_row_group_are_held(tmp_path: Path) -> None:
    path = tmp_path / "one-group.parquet"
    path.write_bytes(parquet_bytes({"image": [picture(n) for n in range(200)]}, rows=200))
    reader = ImageReader("image")
    assert reader.load(path, 0) == picture(0)
    held = reader._rows_of(path)
    assert sum(len(cells) for _, cells in held._kept) == 32
    for row in (150, 3, 199, 31, 32):
        assert reader.load(path, row) == picture(row)
