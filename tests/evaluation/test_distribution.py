"""All scores from one look; sweeps; comparisons; and what is refused."""

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

from facegen.errors import DataError, UsageError
from facegen.evaluation.attributes import evaluate_attributes
from facegen.evaluation.compare import compare
from facegen.evaluation.distribution import DistributionOptions, evaluate
from facegen.evaluation.options import AttributeOptions
from facegen.evaluation.sweep import Sweep, read_sweep, sweep_distribution
from facegen.formats.dataset import Dataset
from facegen.formats.files import read_json, write_json
from facegen.formats.images import encode_png
from facegen.models.generator import FaceGenerator
from facegen.progress import SilentProgress
from facegen.sampling.records import drawing_once

ALL = {"fid", "kid", "precision", "recall", "coverage", "density"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("distribution")
    dataset = write_shapes(folder / "shapes", {"train": 256, "validation": 100})
    judge = train_judge(dataset, folder / "judge")
    return SimpleNamespace(data=dataset, features=f"classifier:{judge}", run=save_run(folder))


def options(place: SimpleNamespace, **changes) -> DistributionOptions:
    return DistributionOptions(**{"features": place.features, "device": "cpu", **changes})


def save_images(images: torch.Tensor, folder: Path, suffix: str = "png") -> Path:
    folder.mkdir()
    for index, image in enumerate(images):
        path = folder / f"{index:04d}.{suffix}"
        if suffix == "png":
            path.write_bytes(encode_png(image))
        else:
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    return folder


def held_out(place: SimpleNamespace, count: int = 100) -> torch.Tensor:
    return place.data.split("validation").images(range(count))


def judged(place: SimpleNamespace, subject: Path, **changes):
    return evaluate(subject, place.data.folder, None, options(place, **changes))


def test_all_scores_come_from_one_drawing_with_floor_ceiling_and_interval(place, monkeypatch) -> None:
    monkeypatch.setattr(FaceGenerator, "generate", counted := Counted())
    report = judged(place, place.run, num_samples=96)
    assert counted.images == 96
    assert set(report.scores) >= ALL
    for name, row in report.scores.items():
        if name == "coverage":
            continue
        assert row.low is not None
        assert row.high is not None
        assert row.low <= row.high
    assert report.scores["kid"].floor == pytest.approx(0, abs=5 * known(report.scores["kid"].standard_error))
    assert known(report.scores["precision"].floor) > 0.5
    assert report.scores["fid"].ceiling is not None
    saved = read_json(known(report.saved_to), 1)
    assert saved["metric"] == "all"
    assert saved["fingerprint"]["features"].startswith("classifier:")


def test_colours_of_drawn_images_are_held_against_real_ones(place, monkeypatch) -> None:
    monkeypatch.setattr(FaceGenerator, "generate", drawer())
    honest = judged(place, place.run, num_samples=96)
    assert set(honest.colour) >= {"red", "contrast of blue"}
    assert abs(honest.colour["red"]["shift"]) < 15

    def pale(self, inputs, seeds, settings, **rest):
        return (drawer()(self, inputs, seeds, settings) // 2).to(torch.uint8)

    monkeypatch.setattr(FaceGenerator, "generate", pale)
    report = judged(place, place.run, num_samples=96, seed=1000)
    assert report.colour["green"]["high"] < 0
    (remark,) = [one for one in report.remarks if one.startswith("Colour:")]
    assert "green" in remark
    assert "below" in remark
    asked = AttributeOptions(num_samples=64, seed=1000, data=place.data.folder, device="cpu")
    counts = evaluate_attributes(place.run, place.features.removeprefix("classifier:"), asked)
    assert counts.remarks[0].startswith("Colour:")


def test_a_second_evaluation_draws_nothing_and_says_the_same(place, monkeypatch) -> None:
    monkeypatch.setattr(FaceGenerator, "generate", counted := Counted())
    first = judged(place, place.run, num_samples=40)
    again = judged(place, place.run, num_samples=40)
    assert counted.images == 40
    assert again.scores == first.scores
    judged(place, place.run, num_samples=40, guidance=1.0)
    assert counted.images == 80, "another guidance is another drawing"


def test_two_evaluations_of_the_same_requests_draw_once(place, monkeypatch) -> None:
    monkeypatch.setattr(FaceGenerator, "generate", counted := Counted())
    attributes = AttributeOptions(num_samples=64, seed=3, data=place.data.folder)
    with drawing_once():
        counts = evaluate_attributes(place.run, place.features.removeprefix("classifier:"), attributes)
        scores = judged(place, place.run, num_samples=64, seed=3, requests="validation")
    assert counted.images == 64
    apart = judged(place, place.run, num_samples=64, seed=3, requests="validation")
    assert apart.scores == scores.scores
    assert counts.num_samples == 64
    held_out = judged(place, place.run, num_samples=64, seed=3)
    assert held_out.scores != scores.scores, "the reference's own labels are other requests"
    assert counted.images > 64


def test_a_folder_whose_file_changed_is_looked_at_anew(place, tmp_path: Path) -> None:
    folder = save_images(held_out(place), tmp_path / "faces")
    before = judged(place, folder)
    (folder / "0003.png").write_bytes(encode_png(torch.zeros(3, 16, 16, dtype=torch.uint8)))
    assert judged(place, folder).scores["kid"].value != before.scores["kid"].value


def test_the_inception_score_wants_inception(place) -> None:
    with pytest.raises(UsageError, match="'inception_score' has a meaning in the features 'inception' alone"):
        evaluate(place.run, place.data.folder, ("inception_score",), options(place))


def test_a_metric_nobody_knows_is_refused(place) -> None:
    with pytest.raises(UsageError, match="not a distribution metric"):
        evaluate(place.run, place.data.folder, ("fad",), options(place))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_images_that_are_not_rgb_are_refused_by_name(place, tmp_path: Path, mode: str) -> None:
    folder = save_images(held_out(place, 20), tmp_path / "faces")
    Image.new(mode, (16, 16)).save(folder / "0007.png")
    with pytest.raises(DataError, match=r"0007\.png' is not an RGB image.*mode is"):
        judged(place, folder)


def test_another_crop_than_the_references_is_refused(place, tmp_path: Path) -> None:
    other = write_shapes(tmp_path / "other", {"train": 32})
    for dataset, crop in ((other, "center"), (place.data, "face")):
        manifest = json.loads((dataset.folder / "dataset.json").read_text())
        manifest["transform"]["crop"] = crop
        write_json(tmp_path / f"{crop}.json", manifest)
    (other.folder / "dataset.json").write_text((tmp_path / "center.json").read_text())
    reference = tmp_path / "reference"
    reference.mkdir()
    (reference / "data").symlink_to(place.data.folder / "data")
    (reference / "dataset.json").write_text((tmp_path / "face.json").read_text())
    assert Dataset.open(reference).manifest.transform["crop"] == "face"
    with pytest.raises(DataError, match=r"crop 'center' and the reference .* of crop 'face'"):
        evaluate(other.folder, reference, ("kid",), options(place))


def test_a_sweep_gives_a_row_a_value_a_front_and_a_picture(place, monkeypatch) -> None:
    monkeypatch.setattr(FaceGenerator, "generate", Counted())
    report = sweep_distribution(
        place.run,
        place.data.folder,
        read_sweep("guidance=1,2"),
        ("kid",),
        options(place, num_samples=32),
        SilentProgress(),
    )
    assert [found.settings["guidance_scale"] for found in report.reports] == [1.0, 2.0]
    assert report.axes == ("recall", "kid")
    assert report.pareto
    with Image.open(report.plot) as picture:
        assert picture.size[0] > 600
    assert read_json(known(report.saved_to), 1)["values"] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("text", "setting", "found"),
    [
        ("sampler=ddim,euler", "sampler", [{"kind": "ddim", "eta": 0.0}, {"kind": "euler"}]),
        ("seed=3,4", "seed", [3, 4]),
        ("guidance-interval=0:0.5,0.2:1", "guidance_interval", [[0.0, 0.5], [0.2, 1.0]]),
    ],
)
def test_samplers_seeds_and_intervals_are_swept(
    place, monkeypatch, text: str, setting: str, found: list
) -> None:
    monkeypatch.setattr(FaceGenerator, "generate", Counted())
    sweep = read_sweep(text)
    assert sweep.option == setting
    report = sweep_distribution(place.run, place.data.folder, sweep, ("kid",), options(place, num_samples=16))
    asked = [one.settings[setting] for one in report.reports]
    if setting == "sampler":
        assert [one["kind"] for one in asked] == [one["kind"] for one in found]
    else:
        assert asked == found
    assert list(known(report).values) == (found if setting == "seed" else text.partition("=")[2].split(","))


@pytest.mark.parametrize(
    "text",
    [
        "guidance-interval=0.5:0.2,0:1",
        "sampler=ddim",
        "guidance",
        "speed=1,2",
        "guidance=1",
        "guidance=1,1",
        "steps=1.5,2",
        "steps=0,2",
        "guidance=-1,2",
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--(sweep|guidance-interval)"):
        read_sweep(text)


def test_a_sweep_wants_a_run_and_its_setting_free(place, tmp_path: Path) -> None:
    sweep = Sweep("steps", (2, 3))
    with pytest.raises(UsageError, match="is not a run"):
        sweep_distribution(place.data.folder, place.data.folder, sweep, ("kid",), options(place))
    with pytest.raises(UsageError, match="not both"):
        sweep_distribution(place.run, place.data.folder, sweep, ("kid",), options(place, steps=4))


def saved(report, path: Path) -> Path:
    write_json(path, report.to_json())
    return path


def test_compare_tells_a_difference_from_chance(place, tmp_path: Path) -> None:
    faces = held_out(place)
    noisy = torch.randint(0, 256, faces.shape, dtype=torch.uint8)
    good = saved(judged(place, save_images(faces, tmp_path / "good")), tmp_path / "good.json")
    real = place.data.split("train").images(range(100))
    also = saved(judged(place, save_images(real, tmp_path / "also")), tmp_path / "also.json")
    bad = saved(judged(place, save_images(noisy, tmp_path / "bad")), tmp_path / "bad.json")
    verdicts = {one.score: one.verdict for one in compare(bad, good).scores}
    assert verdicts["kid"] == verdicts["fid"] == "B better"
    [kid] = compare(good, bad, "kid").scores
    assert kid.verdict == "A better"
    assert known(kid.low) > 0
    [kid] = compare(good, also, "kid").scores
    assert kid.verdict == "no difference shown"


def test_compare_refuses_another_network_file_format_or_count(place, tmp_path: Path) -> None:
    faces = held_out(place)
    png = judged(place, save_images(faces, tmp_path / "png"))
    jpeg = judged(place, save_images(faces, tmp_path / "jpeg", "jpg"))
    assert jpeg.fingerprint["compression"] == "lossy"
    a = saved(png, tmp_path / "a.json")
    with pytest.raises(UsageError, match=r"file format.*lossless and lossy"):
        compare(a, saved(jpeg, tmp_path / "b.json"))
    data = png.to_json()
    data["fingerprint"]["features"] = "another"
    write_json(tmp_path / "c.json", data)
    with pytest.raises(UsageError, match="feature network"):
        compare(a, tmp_path / "c.json")
    fewer = saved(judged(place, tmp_path / "png", num_samples=60), tmp_path / "d.json")
    with pytest.raises(UsageError, match="number of images: 100 and 60"):
        compare(a, fewer, "fid")


def test_compare_takes_the_newest_reports_of_runs_and_says_what_is_missing(place, tmp_path: Path) -> None:
    report = judged(place, place.run, num_samples=32, steps=2)
    found = compare(place.run, known(report.saved_to))
    assert {one.verdict for one in found.scores} == {"no difference shown"}
    with pytest.raises(DataError, match="does not exist"):
        compare(tmp_path / "nowhere", place.run)
    with pytest.raises(DataError, match="holds no report"):
        compare(tmp_path, place.run)
    write_json(tmp_path / "old.json", {"format_version": 1, "metric": "fid", "score": 3.0})
    with pytest.raises(DataError, match="without scores"):
        compare(tmp_path / "old.json", known(report.saved_to))


class Counted:
    """Draws what is asked for and counts the images."""

    def __init__(self) -> None:
        self.images, self._draw = 0, drawer()

    def __get__(self, instance, owner):
        def generate(inputs, seeds, settings, **rest):
            self.images += len(seeds)
            return self._draw(instance, inputs, seeds, settings, **rest)

        return generate if instance is not None else self._draw


def test_a_data_set_judged_against_itself_is_told_so(place, tmp_path: Path) -> None:
    own = judged(place, place.data.folder)
    assert own.remarks[0].startswith("These images are the reference's own")
    other = write_shapes(tmp_path / "others", {"train": 120}, seed=1)
    assert not any("own" in remark for remark in judged(place, other.folder).remarks)
