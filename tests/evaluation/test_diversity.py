"""How different people are, group by group beside real ones, by which features, and as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from support.evaluation_parts import load_mean_colours, train_judge
from support.generator_parts import save_run
from support.known import known
from support.smooth_faces import smooth_faces, write_faces
from support.tiny_dataset import write_dataset
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.errors import MissingModelError, UsageError
from facegen.evaluation import distribution, diversity
from facegen.evaluation.diversity import evaluate_diversity, scoring_options
from facegen.evaluation.options import DiversityOptions
from facegen.formats.images import encode_png
from facegen.models.generator import FaceGenerator

COUNT = 160


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def by_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """A face encoder that knows people by their mean colour."""
    monkeypatch.setattr(distribution, "load_extractor", load_mean_colours)
    monkeypatch.setattr(diversity, "missing_packages", list)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("diversity")
    generator = torch.Generator().manual_seed(0)
    images = {name: smooth_faces(COUNT, generator) for name in ("train", "validation")}
    real = write_faces(folder / "real", images)
    men = torch.as_tensor((real.split("train").frame["Male"] == 1).to_numpy(bool))
    images["train"][men] = images["train"][men][:1]  # all men are one
    # labels are drawn by the same seed, so that they are the reference's
    drawn = write_faces(folder / "drawn", {"train": images["train"]})
    return SimpleNamespace(real=real, drawn=drawn, men=int(men.sum()))


def rows_of(report: diversity.DiversityReport) -> dict[str, dict[str, Any]]:
    return {f"{row['label']} {row['value']}".strip(): row for row in report.rows}


def test_a_group_of_one_man_is_named_and_the_others_are_not(by_colour, place, tmp_path: Path):
    out = tmp_path / "people.png"
    report = evaluate_diversity(
        place.drawn.folder, place.real.folder, DiversityOptions(device="cpu", out=out, num_samples=COUNT)
    )
    rows = rows_of(report)
    assert set(rows) == {"everyone"} | {
        f"{name} {side}" for name in ("Smiling", "Eyeglasses", "Male") for side in ("yes", "no")
    }
    men = rows["Male yes"]
    assert men["num_samples"] == men["num_real"] == place.men
    assert men["drawn"]["value"] == pytest.approx(0, abs=1e-6)
    assert men["real"]["low"] > 1
    assert men["difference"]["high"] < 0
    assert report.narrower[0] == "Male = yes"
    assert "Male = no" not in report.narrower
    assert rows["Male no"]["difference"]["low"] <= 0 <= rows["Male no"]["difference"]["high"]
    assert report.features_note == "People are told apart by a face encoder, dlib-face."
    assert report.remarks[0] == report.features_note
    assert known(report.picture) == out
    with Image.open(out) as picture:
        assert picture.width > 1000


def test_the_command_tells_it_row_by_row(by_colour, place):
    words = ["eval", "diversity", str(place.drawn.folder), "--reference", str(place.real.folder), "--quiet"]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    assert "beyond doubt more alike than real ones: Male = yes" in shown.stdout
    assert "How different are its people?" in shown.stdout
    assert "Eyeglasses: no" in shown.stdout
    assert "a face encoder, dlib-face" in shown.stdout
    assert "higher is more diverse" in shown.stdout


def test_of_each_known_person_one_photo_is_compared_and_small_groups_are_not(by_colour, tmp_path: Path):
    generator = torch.Generator().manual_seed(3)
    images = {"train": smooth_faces(90, generator)}
    names = {"train": [f"person {number // 3}" for number in range(90)]}
    dataset = write_faces(tmp_path / "faces", images, people=names)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, image in enumerate(smooth_faces(40, generator)):
        (folder / f"{number}.png").write_bytes(encode_png(image))
    (everyone,) = evaluate_diversity(folder, dataset.folder, DiversityOptions(device="cpu")).rows
    assert (everyone["num_samples"], everyone["num_real"]) == (40, 30)
    few = DiversityOptions(device="cpu", num_samples=20)
    rows = rows_of(evaluate_diversity(dataset.folder, dataset.folder, few))
    assert rows["everyone"]["num_real"] == 20
    small = [row for row in rows.values() if row["num_samples"] < 16]
    assert small
    assert all(row["difference"] is None and not row["narrower"] for row in small)


def test_classes_are_groups_too(by_colour, tmp_path: Path):
    dataset = write_dataset(tmp_path / "tiny", {"train": 48})
    rows = rows_of(evaluate_diversity(dataset.folder, dataset.folder, DiversityOptions(device="cpu")))
    assert rows["age_group young"]["num_samples"] == rows["age_group old"]["num_real"] == 24
    assert rows["Smiling yes"]["num_samples"] == 16


def test_a_runs_groups_are_what_it_was_asked_for_by_a_classifier_where_no_encoder_is(
    place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    judge = train_judge(place.real, tmp_path / "judge", steps=2)
    run = save_run(tmp_path)
    monkeypatch.setattr(diversity, "missing_packages", lambda: ["dlib-bin"])
    monkeypatch.setattr(FaceGenerator, "generate", by_seed)
    options = DiversityOptions(device="cpu", classifier=judge, num_samples=64)
    report = evaluate_diversity(run, place.real.folder, options)
    assert report.features == "classifier:judge"
    assert "no face encoder was used" in report.features_note
    assert "'judge'" in report.features_note
    assert sum(row["num_samples"] for row in report.rows if row["label"] == "Male") == 64
    assert known(report.picture).parent == run / "evaluations"
    saved = json.loads(known(report.saved_to).read_text())
    assert saved["remarks"][0] == report.features_note
    assert saved["rows"][0]["label"] == "everyone"


def by_seed(self, inputs, seeds, settings, negative_inputs=None, batch_size=None):
    return torch.cat([smooth_faces(1, torch.Generator().manual_seed(seed)) for seed in seeds])


def test_without_features_for_people_it_is_refused_with_both_ways_out(place, monkeypatch):
    monkeypatch.setattr(diversity, "missing_packages", lambda: ["dlib-bin"])
    with pytest.raises(MissingModelError, match="No face encoder is installed") as refused:
        scoring_options(DiversityOptions(), place.real)
    assert "facegen[people]" in known(refused.value.hint)
    assert "--classifier RUN" in known(refused.value.hint)
    with pytest.raises(UsageError, match="'clip' tell pictures apart, not people"):
        scoring_options(DiversityOptions(features="clip"), place.real)
    chosen = scoring_options(DiversityOptions(features="classifier:judge"), place.real)
    assert chosen.features == "classifier:judge"
