"""Other pictures of training people are told from copies of training pictures, and both from strangers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.copied_faces import COPIES, resized, save_images, through_jpeg
from support.evaluation_parts import load_mean_colours
from support.known import known
from support.smooth_faces import smooth_faces, write_faces
from torch import Tensor
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.errors import DataError
from facegen.evaluation import memorized_people
from facegen.evaluation.held_out import held_out_people
from facegen.evaluation.memorization import MemorizationReport, evaluate_memorization
from facegen.formats.dataset import Dataset
from facegen.preparation.prepare import PrepareOptions, prepare

TRAINED, PHOTOS, STRANGERS = 150, 3, 240
PLANTED = 20


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))


def photos(colours: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures of people who are known by their colour (N, 3), which copies are not looked for by."""
    scene = smooth_faces(len(colours), generator).float()
    scene = (scene - scene.mean((2, 3), keepdim=True)) / 2
    light = 0.2 * torch.randn(len(colours), 3, generator=generator)
    return (scene + (colours + light)[:, :, None, None]).round().clamp(0, 255).byte()


@pytest.fixture
def by_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memorized_people, "load_copy_features", load_mean_colours)


def people(tmp_path: Path) -> tuple[Dataset, Tensor]:
    """A data set of people with several photos each, and further photos of `PLANTED` training people."""
    generator = torch.Generator().manual_seed(1)
    colours = 60 + 130 * torch.rand(TRAINED + STRANGERS, 3, generator=generator)
    trained, strangers = colours.split([TRAINED, STRANGERS])
    shown = trained.repeat_interleave(PHOTOS, 0)
    images = {"train": photos(shown, generator), "validation": photos(strangers, generator)}
    names = {
        "train": [f"person {number // PHOTOS}" for number in range(len(shown))],
        "validation": [f"stranger {number}" for number in range(STRANGERS)],
    }
    others = photos(trained[:PLANTED], generator)
    return write_faces(tmp_path / "faces", images, people=names), others


def test_other_photos_of_training_people_are_told_from_copies_and_strangers(by_colour, tmp_path: Path):
    dataset, others = people(tmp_path)
    copies = through_jpeg(dataset.split("train").images(range(200, 200 + PLANTED)))
    strangers = dataset.split("validation").images(range(100))
    folder = save_images(torch.cat([copies, others, strangers]), tmp_path / "mixed")
    out = tmp_path / "pairs.png"
    options = replace(COPIES, people="colour", shown_pairs=PLANTED, out=out)
    report = evaluate_memorization(folder, dataset.folder, options)
    found = known(report.people)
    assert report.num_flagged == pytest.approx(PLANTED, abs=3)
    assert found.num_flagged == pytest.approx(2 * PLANTED, abs=5)
    assert found.num_others == pytest.approx(PLANTED, abs=5)
    assert {pair["sample"] for pair in report.pairs if pair["flagged"]} >= {f"{i:05d}.png" for i in range(20)}
    shown = {pair["sample"]: pair["train_id"] for pair in found.pairs}
    right = [shown.get(f"{PLANTED + i:05d}.png") in {f"train-{PHOTOS * i + n:04d}" for n in range(PHOTOS)}
             for i in range(PLANTED)]  # fmt: skip
    assert sum(right) >= PLANTED - 3
    assert known(found.recognised)["share"] > 0.8
    assert f"({found.num_others} of them no copies)" in found.verdict
    assert "look at the pairs" in found.verdict
    assert known(found.picture).is_file()
    assert report.unseen == "Unseen: 240 faces of 240 people who are not in the training set."
    assert report.scores["known_people"].value == found.share
    assert report.scores["known_people"].settings["people"] == "colour"


def test_held_out_pictures_of_training_people_are_set_aside(tmp_path: Path):
    images = {name: torch.zeros(count, 3, 8, 8, dtype=torch.uint8) for name, count in
              (("train", 4), ("validation", 3), ("test", 2))}  # fmt: skip
    names = {"train": ["a", "a", "b", None], "validation": ["c", "a", None], "test": ["d", "c"]}
    held_out = held_out_people(write_faces(tmp_path / "faces", images, people=names))
    rows = {split: part.tolist() for split, part in held_out.rows.items()}
    assert rows == {
        "validation": [0],
        "test": [0, 1],
    }
    who = known(held_out.people).tolist()
    assert who[0] == who[2] != who[1]
    assert held_out.note == (
        "Unseen: 3 faces of 2 people who are not in the training set. Set aside: 1 of people who are and 1 "
        "of nobody knows whom. 1 training images name nobody."
    )
    assert held_out.by == "identity"


def test_where_nobody_is_named_it_says_so(tmp_path: Path):
    images = {name: torch.zeros(4, 3, 8, 8, dtype=torch.uint8) for name in ("train", "validation")}
    held_out = held_out_people(write_faces(tmp_path / "faces", images))
    assert held_out.by == "image"
    assert "The data name no identities" in held_out.note


def test_too_few_people_and_none_at_all_are_refused(tmp_path: Path):
    generator = torch.Generator().manual_seed(0)
    images = {name: smooth_faces(count, generator) for name, count in (("train", 40), ("validation", 220))}
    few = {"train": ["a"] * 40, "validation": [f"p{number % 7}" for number in range(220)]}
    dataset = write_faces(tmp_path / "few", images, people=few)
    with pytest.raises(DataError, match=r"held-out faces are of 7 people, too few .* 20 are needed"):
        evaluate_memorization(dataset.folder, dataset.folder, COPIES)
    dataset = write_faces(tmp_path / "all", images, people={"train": ["a"] * 40, "validation": ["a"] * 220})
    with pytest.raises(DataError, match=r"Everybody in .* is in its training split"):
        evaluate_memorization(dataset.folder, dataset.folder, COPIES)


def test_what_was_not_looked_at_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    dataset, _ = people(tmp_path)
    monkeypatch.setattr(memorized_people, "missing_packages", lambda: ["dlib-bin"])
    options = replace(COPIES, people="auto", selection=replace(COPIES.selection, split="validation"))
    report: MemorizationReport = evaluate_memorization(dataset.folder, dataset.folder, options)
    assert report.people is None
    assert "no face encoder is installed (pip install 'facegen[people]')" in report.people_note
    arguments = ["eval", "memorization", str(dataset.folder), "--train", str(dataset.folder), "--quiet"]
    shown = CliRunner().invoke(app, [*arguments, "--split", "validation", "--people", "none"])
    assert "was not looked at (--people none)" in shown.stdout
    assert "240 people who are not in the training set" in shown.stdout


@pytest.mark.slow
@pytest.mark.real_faces
def test_planted_photos_of_real_training_people_are_told_from_planted_copies(
    real_faces: Path, tmp_path: Path
):
    pytest.importorskip("dlib", reason="people are told by dlib's face recognition (facegen[people])")
    source = tmp_path / "celeba"
    prepare("celeba", real_faces / "celeba", source,
            PrepareOptions(size=64, limit=2400, splits=(0.5, 0.25, 0.25), workers=1))  # fmt: skip
    dataset, others = without_some(Dataset.open(source), tmp_path / "faces", 60)
    train = dataset.split("train").images(
        np.random.default_rng(0).permutation(dataset.manifest.counts["train"])[:60]
    )
    copies = torch.cat([through_jpeg(train[:20]), train[20:40].flip(3), resized(train[40:])])
    folder = save_images(torch.cat([copies, others]), tmp_path / "mixed")
    options = replace(COPIES, people="dlib-face", shown_pairs=120)
    report = evaluate_memorization(folder, dataset.folder, options)
    found, numbers = known(report.people), json.dumps(known(report.people).held_out)
    copied = {pair["sample"] for pair in report.pairs if pair["flagged"]}
    assert len(copied & {f"{i:05d}.png" for i in range(60)}) == 60
    assert len(copied & {f"{i:05d}.png" for i in range(60, 120)}) <= 2
    assert found.num_others / 60 > 0.25, numbers
    assert known(found.recognised)["share"] > 0.2
    assert found.held_out["share"] < 0.03


def without_some(dataset: Dataset, folder: Path, count: int) -> tuple[Dataset, Tensor]:
    """The data set without one photo each of `count` training people who have several, and these photos."""
    frame = dataset.split("train").frame
    several = frame[frame["identity"].duplicated()].drop_duplicates("identity").index[:count]
    kept = [row for row in range(len(frame)) if row not in set(several)]
    rows = {"train": kept, **{name: range(dataset.manifest.counts[name]) for name in ("validation", "test")}}
    images = {name: dataset.split(name).images(list(part)) for name, part in rows.items()}
    names = {
        name: dataset.split(name).frame["identity"].iloc[list(part)].tolist() for name, part in rows.items()
    }
    return write_faces(folder, images, people=names), dataset.split("train").images(list(several))
