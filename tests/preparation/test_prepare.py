from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from facegen.errors import DataError, StorageError, UsageError
from facegen.formats.dataset import Dataset
from facegen.preparation import parts as _prepare_parts
from facegen.preparation.prepare import PrepareOptions, prepare
from facegen.preparation.splits import split_by_group
from facegen.progress import SilentProgress
from facegen.types import DatasetRecord

SMALL = PrepareOptions(size=16, workers=2)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


def write_faces(root: Path, count: int) -> Path:
    for index in range(count):
        path = root / ("glad" if index % 2 else "glum") / f"{index:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 48), (index, 2 * index % 256, 90)).save(path)
    return root


def test_celeba_becomes_a_data_set_with_its_own_partition(celeba_source: Path, tmp_path: Path) -> None:
    summary = prepare("celeba", celeba_source, tmp_path / "out", SMALL)
    assert summary.counts == {"train": 8, "validation": 2, "test": 2}
    assert summary.notes == ()
    split = Dataset.open(tmp_path / "out").split("validation")
    assert split.frame["id"].tolist() == ["000009", "000010"]
    assert split.frame["identity"].tolist() == ["4", "4"]
    assert split.images([0, 1]).shape == (2, 3, 16, 16)
    assert split.frame["caption"].str.startswith("A photo of a").all()
    assert json.dumps(summary.to_json())
    Dataset.open(tmp_path / "out").verify()


def test_an_empty_part_leads_to_a_split_by_identity(celeba_source: Path, tmp_path: Path) -> None:
    partition = celeba_source / "list_eval_partition.txt"
    partition.write_text(partition.read_text().replace(" 1\n", " 0\n").replace(" 2\n", " 0\n"))
    summary = prepare("celeba", celeba_source, tmp_path / "out", SMALL)
    assert "leaves validation and test empty: split by identity" in summary.notes[-1]
    assert set(summary.counts) == {"train", "validation", "test"}
    frame = pd.read_parquet(tmp_path / "out" / "data")
    assert frame.groupby("identity")["split"].nunique().max() == 1


def test_groups_stay_whole_and_sizes_come_near_the_shares() -> None:
    records = [DatasetRecord(str(index), bytes, "", identity=str(index // 5)) for index in range(1000)]
    splits = split_by_group(records, (0.8, 0.1, 0.1), seed=0)
    assert {split: splits.count(split) for split in set(splits)} == {
        "train": 800,
        "validation": 100,
        "test": 100,
    }
    assert all(len(set(splits[start : start + 5])) == 1 for start in range(0, 1000, 5))
    assert splits != split_by_group(records, (0.8, 0.1, 0.1), seed=1)


def test_the_same_input_gives_the_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    faces = write_faces(tmp_path / "faces", 30)
    for name, workers in (("a", 1), ("b", 4)):
        prepare("image-folder", faces, tmp_path / name, PrepareOptions(size=16, workers=workers))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_avatars_from_two_processes_are_those_of_one(tmp_path: Path) -> None:
    for name, workers in (("a", 1), ("b", 2)):
        options = PrepareOptions(size=16, count=24, workers=workers)
        prepare("avatars", None, tmp_path / name, options)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_avatars_carry_true_labels_and_their_licence(avatars_dataset: Dataset) -> None:
    manifest = avatars_dataset.manifest
    assert sum(manifest.counts.values()) == 48
    assert avatars_dataset.splits == ("train", "validation", "test")
    assert "free for personal and commercial use" in manifest.source["licence"]
    assert any("Pablo Stanley" in note for note in manifest.notes)
    assert "Male" not in manifest.labels.attributes
    assert avatars_dataset.split("train").frame["caption"].str.contains("A cartoon of a").all()


class Interrupting(SilentProgress):
    """Progress whose bar raises Ctrl-C after `images` images."""

    def __init__(self, images: int) -> None:
        super().__init__()
        self.left = images

    def advance(self, count: int = 1, **fields: str) -> None:
        self.left -= count
        if self.left <= 0:
            raise KeyboardInterrupt

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[Any]:
        yield self


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_prepare_parts, "RECORDS_PER_PART", 8)
    monkeypatch.setattr(_prepare_parts, "_BATCH", 4)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("after", [1, 9, 29, 31, 45, 70])
def test_an_interrupted_run_is_taken_up_and_ends_in_the_same_bytes(tmp_path: Path, after: int) -> None:
    faces = write_faces(tmp_path / "faces", 40)
    prepare("image-folder", faces, tmp_path / "whole", SMALL)
    with pytest.raises(KeyboardInterrupt):
        prepare("image-folder", faces, tmp_path / "out", SMALL, Interrupting(after))
    assert not (tmp_path / "out").exists()
    progress = SilentProgress()
    prepare("image-folder", faces, tmp_path / "out", SMALL, progress)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert ("Taking up the work" in " ".join(progress.said)) == (after > 8)
    assert not list(tmp_path.glob(".*.partial"))


@pytest.mark.usefixtures("small_parts")
def test_leftovers_of_other_settings_are_not_used(tmp_path: Path) -> None:
    faces = write_faces(tmp_path / "faces", 40)
    with pytest.raises(KeyboardInterrupt):
        prepare("image-folder", faces, tmp_path / "out", SMALL, Interrupting(30))
    prepare("image-folder", faces, tmp_path / "out", PrepareOptions(size=8))
    assert Dataset.open(tmp_path / "out").split("train").images([0]).shape == (1, 3, 8, 8)


def test_a_finished_data_set_is_left_alone(celeba_source: Path, tmp_path: Path) -> None:
    prepare("celeba", celeba_source, tmp_path / "out", SMALL)
    before = contents(tmp_path / "out")
    assert prepare("celeba", celeba_source, tmp_path / "out", SMALL).already_done
    assert contents(tmp_path / "out") == before
    with pytest.raises(UsageError, match=r"size 16 \(asked: 32\)"):
        prepare("celeba", celeba_source, tmp_path / "out", PrepareOptions(size=32))


def test_something_else_at_out_is_not_touched(celeba_source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="is not a prepared data set"):
        prepare("celeba", celeba_source, tmp_path / "out", SMALL)
    assert (tmp_path / "out" / "thesis.txt").read_text() == "precious"


def test_bad_images_and_duplicates_are_listed_and_the_run_goes_on(tmp_path: Path) -> None:
    faces = write_faces(tmp_path / "faces", 12)
    (faces / "glad" / "broken.jpg").write_bytes((faces / "glad" / "001.png").read_bytes()[:50])
    (faces / "glad" / "empty.jpg").write_bytes(b"")
    (faces / "glad" / "text.jpg").write_text("hello")
    Image.new("RGB", (9, 9)).save(faces / "glad" / "tiny.png")
    shutil.copy(faces / "glad" / "001.png", faces / "glad" / "笑顔 é.png")
    summary = prepare("image-folder", faces, tmp_path / "out", SMALL)
    assert sum(summary.counts.values()) == 12
    assert summary.rejects == {"duplicate": 1, "too small": 1, "unreadable": 3}
    with (tmp_path / "out" / "rejects.csv").open(encoding="utf-8") as file:
        reasons = {row["id"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons["glad/笑顔 é.png"] == "duplicate: same bytes as glad/001.png"
    assert "the file is empty" in reasons["glad/empty.jpg"]


def test_too_many_bad_images_fail_the_run(tmp_path: Path) -> None:
    faces = write_faces(tmp_path / "faces", 2)
    for index in range(3):
        (faces / "glad" / f"bad{index}.jpg").write_text(f"hello {index}")
    with pytest.raises(
        DataError, match=r"3 of 5 images cannot be used; at most 50%.*\n.*bad0.jpg: unreadable"
    ):
        prepare("image-folder", faces, tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()
    options = PrepareOptions(size=16, max_reject_share=0.7, splits=(1.0, 0.0, 0.0))
    assert prepare("image-folder", faces, tmp_path / "out", options).counts == {"train": 2}


def test_images_that_are_not_square_need_a_crop(tmp_path: Path) -> None:
    faces = write_faces(tmp_path / "faces", 3)
    with pytest.raises(DataError, match="not square: 40x48"):
        prepare("image-folder", faces, tmp_path / "out", PrepareOptions(size=16, crop="none"))


def test_limit_keeps_that_many_and_enlarging_is_told(tmp_path: Path) -> None:
    faces = write_faces(tmp_path / "faces", 30)
    summary = prepare("image-folder", faces, tmp_path / "out", PrepareOptions(size=64, limit=10))
    assert sum(summary.counts.values()) == 10
    assert "10 of 10 images were smaller than 64 and enlarged." in summary.notes


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("celebra", {}, "Unknown datasets kind 'celebra'. Did you mean 'celeba'"),
        (
            "celeba",
            {"crop": "round"},
            r"Crop 'round' does not suit 'celeba'.\nCrops of celeba: auto, face, center",
        ),
        ("celeba", {"size": 4}, "outside 8..2048"),
        ("celeba", {"count": 5}, "--count is for kinds that draw"),
        ("celeba", {"splits": (0.5, 0.5, 0.5)}, "three shares"),
        ("celeba", {"workers": 0}, "--workers must be at least 1"),
        ("celeba", {"max_reject_share": 2.0}, "share of 0..1"),
    ],
)
def test_wrong_options_are_refused_before_any_work(
    celeba_source: Path, tmp_path: Path, kind: str, options: dict, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        prepare(kind, celeba_source, tmp_path / "out", PrepareOptions(**options))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["celeba"]


@pytest.mark.parametrize("kind", ["celeba", "utkface", "image-folder"])
def test_a_missing_source_is_told(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DataError, match="does not exist"):
        prepare(kind, tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(UsageError, match="needs a source"):
        prepare(kind, None, tmp_path / "out")


RUN = """
import resource, sys
from pathlib import Path
from typing import Any
from facegen.errors import FacegenError
from facegen.preparation import parts as _prepare_parts
from facegen.preparation.prepare import PrepareOptions, prepare
_prepare_parts.RECORDS_PER_PART = 16
if __name__ == "__main__":
    source, out, limit = sys.argv[1:]
    if int(limit):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    try:
        prepare("image-folder", Path(source), Path(out), PrepareOptions(size=16, workers=1))
    except FacegenError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
"""


@pytest.mark.slow
@pytest.mark.parametrize("limit", [100, 2000, 6000])  # job.json, a part, a data file
def test_a_full_disk_is_exit_5_and_the_next_run_resumes(tmp_path: Path, limit: int) -> None:
    faces = write_faces(tmp_path / "faces", 60)
    (tmp_path / "run.py").write_text(RUN)
    command = [sys.executable, str(tmp_path / "run.py"), str(faces), str(tmp_path / "out")]
    full = subprocess.run([*command, str(limit)], capture_output=True, text=True, check=False)
    assert full.returncode == 5, full.stderr
    assert "it resumes" in full.stderr
    assert not (tmp_path / "out").exists()
    assert subprocess.run([*command, "0"], capture_output=True, check=False).returncode == 0
    prepare("image-folder", faces, tmp_path / "whole", PrepareOptions(size=16))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.slow
def test_killed_runs_leave_no_workers_behind(tmp_path: Path) -> None:
    script = RUN.replace('"image-folder", Path(source)', '"avatars", None').replace("workers=1", "workers=2")
    (tmp_path / "run.py").write_text(script)
    command = [sys.executable, str(tmp_path / "run.py"), "-", str(tmp_path / "out"), "0"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while len(workers := children.read_text().split()) < 3 and time.monotonic() < deadline:
            time.sleep(0.2)  # two workers and multiprocessing's resource tracker
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert workers
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_storage_faults_while_parts_are_written_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    faces = write_faces(tmp_path / "faces", 4)
    monkeypatch.setattr(_prepare_parts.pq, "write_table", full)
    with pytest.raises(StorageError, match="No space left"):
        prepare("image-folder", faces, tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    assert prepare("image-folder", faces, tmp_path / "out", SMALL).counts


@pytest.mark.real_faces
def test_real_faces_are_split_by_identity(real_faces: Path, tmp_path: Path) -> None:
    summary = prepare("celeba", real_faces / "celeba", tmp_path / "out", PrepareOptions(size=16, limit=300))
    assert sum(summary.counts.values()) == 300
    frame = pd.read_parquet(tmp_path / "out" / "data")
    assert frame.groupby("identity")["split"].nunique().max() == 1
    assert 0.3 < (summary.attribute_rates["Male"] or 0) < 0.55
