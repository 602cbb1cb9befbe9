"""What is wrong with one group shows in that group's row and in no other."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.evaluation_parts import drawer, train_judge, write_shapes
from support.generator_parts import save_run
from torch import Tensor
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.errors import DataError, UsageError
from facegen.evaluation.options import Selection
from facegen.evaluation.subgroups import SubgroupOptions, evaluate_subgroups
from facegen.formats.dataset import Dataset
from facegen.formats.dataset_writer import DatasetWriter
from facegen.formats.files import sha256_of
from facegen.formats.images import encode_png
from facegen.models.generator import FaceGenerator
from facegen.preparation.prepare import PrepareOptions, prepare

SLICE = "Bald"
SLICES = (SLICE, "Wearing_Hat", "Beard")  # they share images, but for bald heads and hats
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
    blurred = {name: blur(dataset, name, folder / name) for name in SLICES}
    return SimpleNamespace(data=dataset, blurred=blurred, judge=train_judge(dataset, folder / "judge"))


def blur(dataset: Dataset, name: str, folder: Path) -> Dataset:
    """The validation split with everyone who has the attribute `name` out of focus."""
    split = dataset.split("validation")
    images, members = split.images(range(len(split))), members_of(dataset, name)
    soft = F.avg_pool2d(images[members].float(), BLUR_PIXELS, 1, BLUR_PIXELS // 2, count_include_pad=False)
    images[members] = soft.round().byte()
    return copy_with(dataset, images, folder)


def members_of(dataset: Dataset, name: str) -> np.ndarray:
    return np.flatnonzero((dataset.split("validation").frame[name] == 1).to_numpy(bool))


def evaluate(place: SimpleNamespace, subject: Dataset, **changes):
    options = SubgroupOptions(**{"device": "cpu", **changes})
    return evaluate_subgroups(subject.folder, place.judge, place.data.folder, options)


def moved(before: dict, after: dict, score: str) -> bool:
    """Whether the later value is outside the earlier interval."""
    if before[score] is None or after[score] is None:
        return False
    return not before[score]["low"] <= after[score]["value"] <= before[score]["high"]


@pytest.mark.parametrize("name", SLICES)
def test_blurring_one_group_moves_its_row_and_no_other(place: SimpleNamespace, name: str):
    clean = evaluate(place, place.data, apart_from=(f"{name}=yes",))
    blurred = evaluate(place, place.blurred[name])
    assert clean.worse_off == ()
    assert blurred.worse_off == (f"{name} = yes",)
    for score in ("kid", "precision", "recall", "accuracy"):
        moves = [
            f"{before['label']} = {before['value']}"
            for before, after in zip(clean.rows, blurred.rows, strict=True)
            if not before["small"] and moved(before["apart"] or before, after["apart"] or after, score)
        ]
        assert set(moves) <= {f"{name} = yes"}, score
        assert moves or score != "kid"
    [row] = [row for row in blurred.rows if (row["label"], row["value"]) == (name, "yes")]
    [other] = [row for row in blurred.rows if (row["label"], row["value"]) == (name, "no")]
    count, total = len(members_of(place.data, name)), len(place.data.split("validation"))
    assert row["num_samples"] == count
    assert blurred.rows[0]["apart"]["num_samples"] == other["num_samples"] == total - count
    assert row["kid"]["low"] > other["kid"]["high"]


def test_an_unknown_group_to_be_apart_from_is_refused_with_the_nearest(place: SimpleNamespace):
    with pytest.raises(UsageError, match="Did you mean 'Bald=yes'"):
        evaluate(place, place.data, apart_from=("bald = yes",))


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
    honest, rude = drawer(), drawer(flip=("Smiling",))

    def draw(self, inputs, *rest, **options):  # what men ask for is not heeded
        men = inputs[:, 2] > 0
        return torch.where(
            men[:, None, None, None], rude(self, inputs, *rest), honest(self, inputs, *rest, **options)
        )

    monkeypatch.setattr(FaceGenerator, "generate", draw)
    selection = Selection(num_samples=120, data=dataset.folder)
    run = save_run(tmp_path)
    report = evaluate_subgroups(
        run, judge, dataset.folder, SubgroupOptions(selection=selection, small_below=30, device="cpu")
    )
    everyone = report.rows[0]
    assert everyone["num_samples"] == 120
    assert everyone["real_accuracy"]["value"] > 0.95
    assert everyone["accuracy"]["value"] == pytest.approx(0.8, abs=0.05), "of 60 %, one of three is inverted"
    assert report.worse_off == ("Male = yes",)
    assert everyone["apart"]["accuracy"]["value"] > 0.95
    assert report.saved_to is not None
    assert json.loads(report.saved_to.read_text())["worse_off"] == list(report.worse_off)


def test_images_of_nobody_knows_whom_are_refused(place: SimpleNamespace, tmp_path: Path):
    for index in range(20):
        (tmp_path / f"{index}.png").write_bytes(encode_png(torch.zeros(3, 32, 32).byte()))
    with pytest.raises(DataError, match="no groups"):
        evaluate_subgroups(tmp_path, place.judge, place.data.folder, SubgroupOptions(device="cpu"))


def test_the_command_line_tells_who_is_worse_off(place: SimpleNamespace):
    words = ["eval", "subgroups", str(place.blurred[SLICE].folder), "--classifier", str(place.judge)]
    words += ["--reference", str(place.data.folder), "--device", "cpu", "--quiet"]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    assert f"worse off than all others: {SLICE} = yes." in shown.stdout
    saved = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert saved["metric"] == "subgroups"
