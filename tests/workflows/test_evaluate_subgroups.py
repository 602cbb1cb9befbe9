"""What is wrong with one group shows in that group's row and in no other."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from evaluation_parts import drawer, train_judge, write_shapes
from generator_parts import save_run
from torch import Tensor
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.errors import DataError
from facegen.formats.dataset import Dataset
from facegen.formats.dataset_writer import DatasetWriter
from facegen.formats.files import sha256_of
from facegen.formats.images import encode_png
from facegen.workflows.evaluate_subgroups import SubgroupOptions, evaluate_subgroups
from facegen.workflows.generator import FaceGenerator
from facegen.workflows.judged_images import Selection
from facegen.workflows.prepare import PrepareOptions, prepare

SLICE = "Bald"  # a tenth of the avatars, so that every other group holds few of them
BLUR_PIXELS = 13


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))


def copy_with(dataset: Dataset, images: Tensor, folder: Path) -> Dataset:
    """The validation split again, with other pictures under the same labels."""
    manifest, split = dataset.manifest, dataset.split("validation")
    writer = DatasetWriter(folder, manifest.labels, {}, {"size": manifest.image_size})
    rows = []
    for row, image in zip(split.rows(), images, strict=True):
        png = encode_png(image)
        rows.append({**row, "image": png, "sha256": sha256_of(png)})
    writer.write_split("validation", rows, len(rows), 1000)
    writer.finish(rejects=[], kind="avatars", image_size=manifest.image_size)
    return Dataset.open(folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("subgroups")
    options = PrepareOptions(size=32, count=1000, splits=(0.5, 0.5, 0.0), workers=1)
    prepare("avatars", None, folder / "avatars", options)
    dataset = Dataset.open(folder / "avatars")
    split = dataset.split("validation")
    images = split.images(range(len(split)))
    members = np.flatnonzero((split.frame[SLICE] == 1).to_numpy(bool))
    blurred = images.clone()
    soft = F.avg_pool2d(images[members].float(), BLUR_PIXELS, 1, BLUR_PIXELS // 2, count_include_pad=False)
    blurred[members] = soft.round().byte()
    return SimpleNamespace(
        data=dataset,
        blurred=copy_with(dataset, blurred, folder / "blurred"),
        num_blurred=len(members),
        judge=train_judge(dataset, folder / "judge"),
    )


def evaluate(place: SimpleNamespace, subject: Dataset, **changes):
    options = SubgroupOptions(**{"device": "cpu", **changes})
    return evaluate_subgroups(subject.folder, place.judge, place.data.folder, options)


def moved(before: dict, after: dict, score: str) -> bool:
    """Whether the later value is outside the earlier interval."""
    if before[score] is None:
        return False
    return not before[score]["low"] <= after[score]["value"] <= before[score]["high"]


def test_blurring_one_group_moves_its_row_and_no_other(place: SimpleNamespace):
    clean, blurred = evaluate(place, place.data), evaluate(place, place.blurred)
    moves = {
        f"{before['label']} = {before['value']}": before
        for before, after in zip(clean.rows, blurred.rows, strict=True)
        if not before["small"] and moved(before, after, "kid")
    }
    assert list(moves) == [f"{SLICE} = yes"]
    assert blurred.worse_off == (f"{SLICE} = yes",)
    assert clean.worse_off == ()
    [row] = [row for row in blurred.rows if (row["label"], row["value"]) == (SLICE, "yes")]
    assert row["num_samples"] == place.num_blurred
    [other] = [row for row in blurred.rows if (row["label"], row["value"]) == (SLICE, "no")]
    assert other["num_samples"] == len(place.data.split("validation")) - place.num_blurred
    assert row["kid"]["low"] > other["kid"]["high"]
    assert row["precision"]["high"] < other["precision"]["low"]


def test_small_groups_are_marked_and_tiny_ones_have_no_scores(place: SimpleNamespace):
    report = evaluate(place, place.data, selection=Selection(num_samples=60))
    small = [row for row in report.rows if row["small"]]
    assert small
    for row in report.rows:
        assert row["small"] == (min(row["num_samples"], row["num_reference"]) < 50)
        if row["num_samples"] < 16:
            assert row["kid"] is None
            assert row["accuracy"] is None
        elif row["num_reference"] >= 16:
            assert row["kid"]["low"] < row["kid"]["value"] < row["kid"]["high"]
    assert not {f"{row['label']} = {row['value']}" for row in small} & set(report.worse_off)


def test_a_runs_groups_are_what_was_asked_for_beside_the_real_faces_asked_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    dataset = write_shapes(tmp_path / "shapes", {"train": 200, "validation": 120})
    judge = train_judge(dataset, tmp_path / "judge")
    monkeypatch.setattr(FaceGenerator, "generate", drawer(flip=("Smiling",)))
    selection = Selection(num_samples=120, data=dataset.folder)
    run = save_run(tmp_path)
    report = evaluate_subgroups(
        run, judge, dataset.folder, SubgroupOptions(selection=selection, device="cpu")
    )
    everyone = report.rows[0]
    assert everyone["num_samples"] == 120
    assert everyone["real_accuracy"]["value"] > 0.95
    assert everyone["accuracy"]["value"] == pytest.approx(2 / 3, abs=0.05), "one of three is inverted"
    assert "Male = yes" in report.worse_off
    assert json.loads(report.saved_to.read_text())["worse_off"] == list(report.worse_off)


def test_images_of_nobody_knows_whom_are_refused(place: SimpleNamespace, tmp_path: Path):
    for index in range(20):
        (tmp_path / f"{index}.png").write_bytes(encode_png(torch.zeros(3, 32, 32).byte()))
    with pytest.raises(DataError, match="no groups"):
        evaluate_subgroups(tmp_path, place.judge, place.data.folder, SubgroupOptions(device="cpu"))


def test_the_command_line_tells_who_is_worse_off(place: SimpleNamespace):
    words = ["eval", "subgroups", str(place.blurred.folder), "--classifier", str(place.judge)]
    words += ["--reference", str(place.data.folder), "--device", "cpu", "--quiet"]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    assert f"{SLICE} = yes" in shown.stdout.split("Worse off")[1]
    saved = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert saved["metric"] == "subgroups"
