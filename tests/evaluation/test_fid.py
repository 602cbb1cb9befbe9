"""FID evaluation of folders, data sets and runs, through a classifier's features."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from support.evaluation_parts import drawer, train_judge, write_shapes
from support.generator_parts import save_run
from support.known import known

from facegen.errors import DataError, MissingModelError, UsageError
from facegen.evaluation.distribution import DistributionOptions, evaluate
from facegen.formats.images import encode_png
from facegen.models.generator import FaceGenerator


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("fid")
    dataset = write_shapes(folder / "shapes", {"train": 256, "validation": 100})
    judge = train_judge(dataset, folder / "judge")
    return SimpleNamespace(data=dataset, features=f"classifier:{judge}", run=save_run(folder))


def evaluate_fid(subject: Path, reference: Path, options: DistributionOptions, progress=None):
    return evaluate(subject, reference, ("fid",), options, progress)


def options(place: SimpleNamespace, **changes) -> DistributionOptions:
    return DistributionOptions(**{"features": place.features, "device": "cpu", **changes})


def save_images(images: torch.Tensor, folder: Path) -> Path:
    folder.mkdir()
    for index, image in enumerate(images):
        (folder / f"{index:04d}.png").write_bytes(encode_png(image))
    return folder


def test_the_reference_itself_scores_zero_from_a_folder_and_as_a_data_set(place, tmp_path: Path):
    folder = save_images(place.data.split("train").images(range(256)), tmp_path / "same")
    from_folder = evaluate_fid(folder, place.data.folder, options(place))
    as_dataset = evaluate_fid(place.data.folder, place.data.folder, options(place))
    for report in (from_folder, as_dataset):
        assert report.score == pytest.approx(0, abs=1e-5)
        assert report.num_samples == report.num_reference == 256
        assert report.ceiling is None
        assert report.saved_to is None
    assert (from_folder.subject_kind, as_dataset.subject_kind) == ("folder", "dataset")


def test_held_out_images_score_the_floor_and_noise_far_above_it(place, tmp_path: Path):
    held_out = save_images(place.data.split("validation").images(range(100)), tmp_path / "held-out")
    noise = torch.randint(0, 256, (100, 3, 16, 16), dtype=torch.uint8)
    good = evaluate_fid(held_out, place.data.folder, options(place))
    bad = evaluate_fid(save_images(noise, tmp_path / "noise"), place.data.folder, options(place))
    assert known(good.floor)["method"] == "held-out"
    assert good.score == pytest.approx(good.main.floor, rel=1e-3)
    assert bad.score > 10 * known(bad.main.floor)
    assert any("biased" in remark for remark in good.remarks)


def test_a_run_that_draws_what_its_labels_say_comes_near_the_floor(place, monkeypatch: pytest.MonkeyPatch):
    untrained = evaluate_fid(place.run, place.data.folder, options(place, num_samples=96, steps=2))
    monkeypatch.setattr(FaceGenerator, "generate", drawer())
    perfect = evaluate_fid(place.run, place.data.folder, options(place, num_samples=96))
    assert perfect.score < 3 * known(perfect.main.floor)
    assert untrained.score > 10 * perfect.score
    assert known(perfect.ceiling)["num_samples"] == 96
    assert known(perfect.main.ceiling) < 3 * known(perfect.main.floor), (
        "the identity autoencoder loses nothing"
    )


def test_a_runs_report_is_kept_beside_it_with_its_settings(place: SimpleNamespace):
    report = evaluate_fid(
        place.run, place.data.folder, options(place, num_samples=20, steps=3, guidance=1.0, seed=4)
    )
    saved = json.loads(known(report.saved_to).read_text())
    assert known(report.saved_to).parent == place.run / "evaluations"
    assert saved["scores"]["fid"]["value"] == report.score
    assert saved["settings"]["steps"] == 3
    assert saved["settings"]["guidance_scale"] == 1.0
    assert saved["settings"]["seed"] == 4
    assert saved["floor"]["num_samples"] == 20
    assert saved["fingerprint"]["features"].startswith("classifier:")


def test_too_few_images_are_refused_with_their_number(place: SimpleNamespace, tmp_path: Path):
    folder = save_images(place.data.split("train").images(range(5)), tmp_path / "few")
    with pytest.raises(DataError, match="5 images are too few"):
        evaluate_fid(folder, place.data.folder, options(place))
    with pytest.raises(DataError, match="3 images are too few"):
        evaluate_fid(place.run, place.data.folder, options(place, num_samples=3))
    with pytest.raises(DataError, match="500 images were asked for"):
        evaluate_fid(place.data.folder, place.data.folder, options(place, num_samples=500))


def test_another_size_than_the_references_is_refused(place: SimpleNamespace, tmp_path: Path):
    images = torch.zeros(20, 3, 32, 32, dtype=torch.uint8)
    with pytest.raises(DataError, match="32 pixels and the reference of 16"):
        evaluate_fid(save_images(images, tmp_path / "large"), place.data.folder, options(place))


def test_mixed_sizes_and_empty_folders_are_refused(place: SimpleNamespace, tmp_path: Path):
    folder = save_images(torch.zeros(20, 3, 16, 16, dtype=torch.uint8), tmp_path / "mixed")
    Image.new("RGB", (24, 24)).save(folder / "0007.png")
    with pytest.raises(DataError, match="different sizes"):
        evaluate_fid(folder, place.data.folder, options(place))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        evaluate_fid(tmp_path / "empty", place.data.folder, options(place))
    with pytest.raises(DataError, match="does not exist"):
        evaluate_fid(tmp_path / "nowhere", place.data.folder, options(place))


def test_sampling_settings_are_refused_for_what_is_not_a_run(place: SimpleNamespace, tmp_path: Path):
    folder = save_images(torch.zeros(20, 3, 16, 16, dtype=torch.uint8), tmp_path / "images")
    with pytest.raises(UsageError, match="not one"):
        evaluate_fid(folder, place.data.folder, options(place, steps=5))


def test_missing_weights_are_told_before_anything_is_drawn(place, monkeypatch: pytest.MonkeyPatch, tmp_path):
    def never(*args, **kwargs):
        raise AssertionError("drew faces although the features are missing")

    monkeypatch.setattr(FaceGenerator, "generate", never)
    with pytest.raises(MissingModelError):
        evaluate_fid(
            place.run, place.data.folder, options(place, features="inception", weights=tmp_path / "no.pth")
        )
