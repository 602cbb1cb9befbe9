"""A source becomes a judged generator by one call, and a second call goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facegen.datasets import write_some
from facegen.errors import DataError, UsageError
from facegen.formats.dataset import Dataset
from facegen.formats.images import encode_png
from facegen.formats.run import RunDirectory
from facegen.making.make import MakeSummary, make
from facegen.making.options import MakeOptions
from facegen.preparation.prepare import PrepareOptions, prepare
from facegen.progress import SilentProgress

SMOKE = MakeOptions(minutes=0.2, scale="smoke")


@pytest.fixture(scope="module")
def avatars(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("avatars") / "set"
    prepare("avatars", None, out, PrepareOptions(size=32, count=72, workers=1))
    return Dataset.open(out)


def folders_of(dataset: Dataset, out: Path, attribute: str | None) -> Path:
    """The data set's faces as files, in a folder for each answer to `attribute`."""
    for split in dataset.splits:
        part = dataset.split(split)
        for row, image in zip(part.frame.to_dict("records"), part.images(range(len(part))), strict=True):
            inside = out if attribute is None else out / ("with" if row[attribute] else "without")
            inside.mkdir(parents=True, exist_ok=True)
            (inside / f"{row['id']}.png").write_bytes(encode_png(image))
    return out


def made_from(source: Path, out: Path) -> tuple[MakeSummary, SilentProgress]:
    progress = SilentProgress()
    return make(source, out, SMOKE, progress), progress


@pytest.mark.slow
def test_classes_in_folders_are_asked_for_and_judged(avatars: Dataset, tmp_path: Path) -> None:
    summary, progress = made_from(folders_of(avatars, tmp_path / "faces", "Eyeglasses"), tmp_path / "out")
    assert summary.kind == "image-folder"
    conditioner = RunDirectory(summary.run).recipe().conditioner or {}
    assert (conditioner["kind"], conditioner["column"]) == ("class_label", "class")
    assert {"control", "fid", "memorization"} <= summary.scores.keys()
    assert any("are few" in line for line in progress.warned)
    page = summary.report.read_text("utf-8")
    assert "What more would bring" in page
    assert str(tmp_path) not in page

    weights = {path: path.stat().st_mtime_ns for path in summary.out.rglob("*.safetensors")}
    faces = summary.grid.read_bytes()
    again, _ = made_from(tmp_path / "faces", tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in weights} == weights
    assert again.grid.read_bytes() == faces


@pytest.mark.slow
def test_faces_without_labels_are_drawn_and_looked_for_among_those_trained_on(
    avatars: Dataset, tmp_path: Path
) -> None:
    summary, _ = made_from(folders_of(avatars, tmp_path / "faces", None), tmp_path / "out")
    assert RunDirectory(summary.run).recipe().conditioner == {"kind": "none"}
    assert "classifier" not in summary.planned
    assert "memorization" in summary.scores


@pytest.mark.slow
def test_a_killed_stage_is_taken_up(avatars: Dataset, tmp_path: Path) -> None:
    class Stops(SilentProgress):
        def say(self, message: str) -> None:
            super().say(message)
            if message.startswith("[5/7] generator"):
                raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        make(avatars.folder, out, SMOKE, Stops())
    planned = json.loads((out / "plan.json").read_text())
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    summary, progress = made_from(avatars.folder, out)
    assert before
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert json.loads((out / "plan.json").read_text()) == planned
    assert any("Going on with the plan" in line for line in progress.said)
    assert not list(out.glob(".*"))
    assert summary.kind == "prepared"


def test_a_folder_that_holds_something_else_is_left_alone(avatars: Dataset, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(UsageError, match="holds something else, such as 'mine'"):
        make(avatars.folder, tmp_path, SMOKE)
    with pytest.raises(UsageError, match="is a file"):
        make(avatars.folder, tmp_path / "mine", SMOKE)
    with pytest.raises(DataError, match="does not exist"):
        make(tmp_path / "nowhere", tmp_path / "out", SMOKE)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_too_few_faces_and_a_name_of_the_hub_are_refused(avatars: Dataset, tmp_path: Path) -> None:
    few = write_some(folders_of(avatars, tmp_path / "faces", None), 20, tmp_path / "few")
    with pytest.raises(DataError, match="20 faces are too few"):
        make(few, tmp_path / "out", SMOKE)
    with pytest.raises(UsageError, match="facegen prepare hub ORG/NAME"):
        make(Path("ORG/NAME"), tmp_path / "other", SMOKE)
