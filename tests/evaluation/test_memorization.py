"""Planted copies are found, unseen faces are not, and both are told with their intervals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.copied_faces import COPIES, resized, save_images, through_jpeg
from support.generator_parts import save_run
from support.known import known
from support.smooth_faces import smooth_faces, write_faces
from torch import Tensor
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.errors import DataError, UsageError
from facegen.evaluation.memorization import evaluate_memorization
from facegen.evaluation.options import Selection
from facegen.formats.dataset import Dataset
from facegen.models.generator import FaceGenerator
from facegen.preparation.prepare import PrepareOptions, prepare

REAL_SIZE = 32


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    counts = {"train": 450, "validation": 225, "test": 225}
    images = {split: smooth_faces(count, generator) for split, count in counts.items()}
    return write_faces(tmp_path_factory.mktemp("copies") / "faces", images)


def planted(dataset: Dataset, num_honest: int, num_each: int) -> tuple[Tensor, list[str]]:
    """Held-out faces, then copies of training images: as they are, mirrored, recompressed, resized."""
    honest = dataset.split("validation").images(range(num_honest))
    rows = np.random.default_rng(3).permutation(len(dataset.split("train")))[: 5 * num_each]
    source = dataset.split("train").images(rows)
    parts = list(source.split(num_each))
    copies = [
        parts[0],
        parts[1].flip(3),
        through_jpeg(parts[2]),
        through_jpeg(parts[3].flip(3)),
        resized(parts[4]),
    ]
    ids = dataset.split("train").frame["id"].iloc[rows].tolist()
    return torch.cat([honest, *copies]), ids


def check_planted(dataset: Dataset, tmp_path: Path, num_honest: int, num_each: int) -> None:
    """5 % planted copies are all found with their sources; of unseen faces at most twice the nominal rate."""
    images, ids = planted(dataset, num_honest, num_each)
    num_copies = len(ids)
    assert num_copies / len(images) == pytest.approx(0.05, abs=0.003)
    options = replace(COPIES, shown_pairs=2 * num_copies, out=tmp_path / "pairs.png")
    report = evaluate_memorization(save_images(images, tmp_path / "mixed"), dataset.folder, options)
    flagged = {pair["sample"]: pair for pair in report.pairs if pair["flagged"]}
    for number, train_id in enumerate(ids):
        name = f"{num_honest + number:05d}.png"
        assert name in flagged, f"copy {number} of {num_copies} was not found"
        assert flagged[name]["train_id"] == train_id
    assert (report.num_flagged - num_copies) / num_honest <= 2 * report.nominal_rate
    assert report.held_out["share"] <= 2 * report.nominal_rate
    assert report.low > report.nominal_rate
    assert "look at the pairs" in report.verdict


def test_planted_copies_are_found_and_unseen_faces_are_not(faces: Dataset, tmp_path: Path):
    check_planted(faces, tmp_path, num_honest=190, num_each=2)


@pytest.mark.real_faces
def test_planted_copies_of_real_faces_are_found_and_unseen_people_are_not(real_faces: Path, tmp_path: Path):
    out = tmp_path / "celeba"
    options = PrepareOptions(size=REAL_SIZE, limit=2400, splits=(0.4, 0.3, 0.3), workers=1)
    prepare("celeba", real_faces / "celeba", out, options)
    check_planted(Dataset.open(out), tmp_path, num_honest=665, num_each=7)


def test_mirrored_copies_are_told_as_mirrored(faces: Dataset, tmp_path: Path):
    source = faces.split("train").images([5, 9])
    folder = save_images(torch.stack([source[0], source[1].flip(2)]), tmp_path / "mirrored")
    report = evaluate_memorization(folder, faces.folder, COPIES)
    by_name = {pair["sample"]: pair for pair in report.pairs}
    assert not by_name["00000.png"]["mirrored"]
    assert by_name["00001.png"]["mirrored"]
    assert by_name["00001.png"]["distance"] == pytest.approx(0, abs=1e-5)


def test_unseen_faces_alone_give_no_alarm(faces: Dataset):
    options = replace(COPIES, selection=Selection(split="test"))
    report = evaluate_memorization(faces.folder, faces.folder, options)
    assert report.share <= 2 * report.nominal_rate
    assert "no sign of copies" in report.verdict
    assert report.picture is None


def test_a_run_that_recites_is_caught_and_its_report_kept(faces, tmp_path, monkeypatch: pytest.MonkeyPatch):
    train = faces.split("train")

    def recite(self, inputs, seeds, *arguments, **options):
        return train.images([seed % len(train) for seed in seeds])

    monkeypatch.setattr(FaceGenerator, "generate", recite)
    run = save_run(tmp_path)
    selection = Selection(num_samples=40, split="train", data=faces.folder)
    options = replace(COPIES, selection=selection)
    report = evaluate_memorization(run, faces.folder, options)
    assert report.share == 1
    saved = json.loads(known(report.saved_to).read_text())
    assert saved["share"] == 1
    assert saved["metric"] == "memorization"
    assert Path(saved["picture"]).parent == run / "evaluations"
    with Image.open(known(report.picture)) as picture:
        assert picture.width > 6 * 96


def test_too_few_held_out_faces_are_refused_with_the_number_needed(faces: Dataset, tmp_path: Path):
    small = {split: faces.split(split).images(range(90)) for split in ("train", "validation")}
    dataset = write_faces(tmp_path / "few", small)
    with pytest.raises(DataError, match=r"90 held-out faces are too few .* 198 are needed"):
        evaluate_memorization(faces.folder, dataset.folder, COPIES)
    report = evaluate_memorization(faces.folder, dataset.folder, replace(COPIES, nominal_rate=0.05))
    assert report.held_out["num_calibration"] == 45


def test_another_image_size_and_unknown_features_are_refused(faces: Dataset, tmp_path: Path):
    folder = save_images(torch.zeros(3, 3, 24, 24, dtype=torch.uint8), tmp_path / "small")
    with pytest.raises(DataError, match="24 pixels and the training set of 16"):
        evaluate_memorization(folder, faces.folder, COPIES)
    with pytest.raises(UsageError, match="Unknown features 'pixel'"):
        evaluate_memorization(folder, faces.folder, replace(COPIES, features="pixel"))


def test_the_command_line_shows_the_verdict(faces: Dataset, tmp_path: Path):
    folder = save_images(faces.split("train").images(range(20)), tmp_path / "copies")
    arguments = [
        "eval",
        "memorization",
        str(folder),
        "--train",
        str(faces.folder),
        "--device",
        "cpu",
        "--people",
        "none",
    ]
    shown = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "pairs.png"), "--quiet"])
    assert shown.exit_code == 0, shown.output
    assert "100.0 % are nearer to a training image than unseen faces are" in shown.stdout
    assert (tmp_path / "pairs.png").is_file()
    result = CliRunner().invoke(app, [*arguments, "--json", "--quiet"])
    assert json.loads(result.stdout)["num_flagged"] == 20
