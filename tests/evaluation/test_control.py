"""`facegen eval control` with generators that listen, do not, or mix things up."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from support.evaluation_parts import ATTRIBUTES, SIZE, drawer, train_judge, write_shapes
from support.generator_parts import LABELS, save_run, tiny_recipe
from support.known import known
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.errors import DataError, UsageError
from facegen.evaluation.compare import compare
from facegen.evaluation.control import ControlOptions, ControlReport, evaluate_control
from facegen.formats.dataset import Dataset
from facegen.formats.dataset_writer import DatasetWriter
from facegen.formats.files import sha256_of
from facegen.formats.images import encode_png
from facegen.models.generator import FaceGenerator
from facegen.types import LabelSchema


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("control")
    dataset = write_shapes(folder / "shapes", {"train": 256, "validation": 100})
    return SimpleNamespace(data=dataset, judge=train_judge(dataset, folder / "judge"), run=save_run(folder))


def control(place: SimpleNamespace, **changes) -> ControlReport:
    options = {"num_samples": 32, "data": place.data.folder, "device": "cpu", **changes}
    return evaluate_control(place.run, place.judge, ControlOptions(**options))


def test_a_generator_that_draws_what_is_asked_is_in_control(place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FaceGenerator, "generate", drawer())
    report = control(place)
    assert [row["attribute"] for row in report.rows] == list(ATTRIBUTES)
    assert report.hit["share"] > 0.95 > report.hit_chance
    assert report.leakage is not None
    assert report.leakage["share"] < 0.05
    assert report.no_effect_shown == ()
    assert report.classifier_hit is not None
    assert report.classifier_hit > 0.9
    assert report.classifier_leakage is not None
    assert report.classifier_leakage < 0.1
    assert report.data == str(place.data.folder)


def test_an_attribute_nobody_listens_to_is_named_and_others_are_not(place, monkeypatch: pytest.MonkeyPatch):
    honest = drawer()

    def deaf(self, inputs, *rest, **options):
        return honest(self, inputs * inputs.new_tensor([1, 0, 1]), *rest, **options)

    monkeypatch.setattr(FaceGenerator, "generate", deaf)
    report = control(place)
    assert report.no_effect_shown == ("Eyeglasses",)
    assert {row["attribute"]: row["hit"]["share"] > 0.9 for row in report.rows} == {
        "Smiling": True,
        "Eyeglasses": False,
        "Male": True,
    }


def test_what_comes_along_with_an_attribute_is_in_its_row(place, monkeypatch: pytest.MonkeyPatch):
    honest = drawer()

    def stereotyped(self, inputs, *rest, **options):  # every man wears glasses
        inputs = inputs.clone()
        inputs[inputs[:, 2] > 0, 1] = 1
        return honest(self, inputs, *rest, **options)

    monkeypatch.setattr(FaceGenerator, "generate", stereotyped)
    rows = {row["attribute"]: row for row in control(place).rows}
    assert known(rows["Male"]["leakage"]["Eyeglasses"])["share"] > 0.4
    assert known(rows["Male"]["leakage"]["Smiling"])["share"] < 0.1
    assert known(rows["Smiling"]["leakage"]["Eyeglasses"])["share"] < 0.1


def test_the_real_network_is_sampled_and_report_heat_map_and_pairs_are_kept(place: SimpleNamespace):
    report = control(
        place, attributes=("Male", "Smiling"), num_samples=4, steps=2, guidance=1.5, grid_pairs=3, seed=7
    )
    assert report.saved_to is not None
    saved = json.loads(report.saved_to.read_text())
    assert (saved["metric"], saved["format_version"]) == ("control", 1)
    assert [row["attribute"] for row in saved["rows"]] == ["Male", "Smiling"]
    assert set(saved["rows"][0]["leakage"]) == {"Smiling", "Eyeglasses"}
    assert saved["settings"]["steps"] == 2
    assert saved["settings"]["guidance_scale"] == 1.5
    assert saved["settings"]["seed"] == 7
    assert any("4 pairs" in remark for remark in saved["remarks"])
    assert report.heat_map is not None
    assert report.grid is not None
    assert report.saved_to.parent == report.heat_map.parent == report.grid.parent == place.run / "evaluations"
    with Image.open(report.grid) as grid:
        assert grid.width == pytest.approx(6 * 96, abs=20), "three pairs of 16 pixels, six times enlarged"


def test_requests_are_seen_by_the_model_as_its_conditioner_takes_them(place, monkeypatch: pytest.MonkeyPatch):
    asked, honest = [], drawer()

    def noted(self, inputs, *rest, **options):
        asked.extend(inputs.tolist())
        return honest(self, inputs, *rest, **options)

    monkeypatch.setattr(FaceGenerator, "generate", noted)
    control(place, base="open", num_samples=1)
    assert sorted(asked) == sorted([[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]])


def test_the_same_seed_gives_the_same_matrix(place: SimpleNamespace):
    first, again = (control(place, num_samples=3, steps=2, seed=5) for _ in range(2))
    assert first.rows == again.rows
    assert first.saved_to != again.saved_to


def test_what_cannot_be_toggled_is_refused(place: SimpleNamespace, tmp_path: Path):
    with pytest.raises(UsageError, match="Did you mean 'Smiling'"):
        control(place, attributes=("Smilling",))
    with pytest.raises(UsageError, match="No attribute is named"):
        control(place, attributes=())
    with pytest.raises(UsageError, match="--data"):
        control(place, data=None)
    blind = SimpleNamespace(data=place.data, judge=place.judge, run=save_run(tmp_path, tiny_recipe("none")))
    with pytest.raises(UsageError, match="only attributes or classes can be toggled"):
        control(blind)


def test_data_without_the_runs_attributes_is_refused_with_a_way_out(place, avatars_dataset):
    with pytest.raises(DataError, match="no column Male") as refusal:
        control(place, data=avatars_dataset.folder)
    assert "--base open" in str(refusal.value.hint)


def test_the_command_prints_rates_beside_chance_and_says_where_it_is_kept(place, monkeypatch):
    monkeypatch.setattr(FaceGenerator, "generate", drawer())
    line = ["eval", "control", str(place.run), "--classifier", str(place.judge), "--base", "open", "--quiet"]
    result = CliRunner().invoke(app, [*line, "--attributes", "Male, Smiling", "--num-samples", "40"])
    assert result.exit_code == 0, result.output
    assert re.search(r"pairs for each wish +40\n", result.output)
    assert "redrawn at random" in result.output
    assert "Eyeglasses" not in result.output.split("wish changed")[1].split("More often by")[0]
    assert "Asking makes each wish more frequent" in result.output
    assert "control-pairs-" in result.output
    parsed = json.loads(CliRunner().invoke(app, [*line, "--num-samples", "2", "--json"]).stdout)
    assert len(parsed["rows"]) == 3


def test_scores_stand_between_redrawing_and_the_classifiers_limit(place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FaceGenerator, "generate", drawer())
    report = control(place)
    assert list(report.scores) == ["hit", "leakage", *(f"hit {name}" for name in ATTRIBUTES)]
    for name, row in report.scores.items():
        assert known(row.low) <= row.value <= known(row.high), name
        assert (known(row.floor) < row.value) == (name != "leakage")
    assert report.scores["hit"].value == report.hit["share"]
    assert report.scores["hit"].ceiling == pytest.approx(report.classifier_hit)
    assert report.fingerprint["data"] == place.data.manifest.fingerprint


def test_a_run_that_listens_is_told_from_one_that_does_not(place, monkeypatch: pytest.MonkeyPatch):
    honest = drawer()
    monkeypatch.setattr(FaceGenerator, "generate", honest)
    good = known(control(place).saved_to)

    def deaf(self, inputs, *rest, **options):
        return honest(self, inputs * inputs.new_tensor([1, 0, 1]), *rest, **options)

    monkeypatch.setattr(FaceGenerator, "generate", deaf)
    bad = known(control(place).saved_to)
    verdicts = {one.score: one.verdict for one in compare(bad, good).scores}
    assert verdicts["hit"] == verdicts["hit Eyeglasses"] == "B better"
    assert verdicts["hit Smiling"] == "no difference shown"
    some = known(control(place, attributes=("Smiling",)).saved_to)
    partly = compare(good, some)
    assert [one.score for one in partly.scores] == ["hit Smiling"]
    assert set(partly.left_out) == {"hit", "leakage"}, "pooled over other wishes"
    left_open = known(control(place, base="open").saved_to)
    with pytest.raises(UsageError, match="rest of each request"):
        compare(good, left_open)


def write_ages(folder: Path) -> Dataset:
    classes = {"age": LABELS.classes["age"]}
    writer = DatasetWriter(folder, LabelSchema(classes=classes), {}, {"size": SIZE})
    rows = []
    for index in range(20):
        png = encode_png(torch.full((3, SIZE, SIZE), 10 * index, dtype=torch.uint8))
        labels = {"id": str(index), "split": "validation", "caption": "", "captions": [""], "identity": None}
        age = classes["age"][index % 2]
        rows.append({**labels, "image": png, "sha256": sha256_of(png), "age": age})
    writer.write_split("validation", rows, len(rows), 1000)
    writer.finish(rejects=[], kind="shapes", image_size=SIZE)
    return Dataset.open(folder)


def test_classes_are_toggled_by_a_run_that_is_asked_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = save_run(tmp_path, tiny_recipe({"kind": "class_label", "column": "age", "dim": 32}))
    data = write_ages(tmp_path / "ages")
    judge = SimpleNamespace(
        attributes=(),
        classes=("old", "middle", "young"),
        class_column="age",
        image_size=SIZE,
        fingerprint="f" * 64,
        held_out={},
        logits=lambda images: torch.nn.functional.one_hot(2 - 2 * images[:, 0, 0, 0].long(), 3).float(),
    )
    monkeypatch.setattr("facegen.evaluation.steps.load_classifier", lambda path, device: judge)

    def by_class(self, inputs, seeds, settings, *rest, **options):  # class 0 is young, 1 old
        return inputs.view(-1, 1, 1, 1).expand(-1, 3, SIZE, SIZE).to(torch.uint8)

    monkeypatch.setattr(FaceGenerator, "generate", by_class)
    report = control(SimpleNamespace(run=run, judge="judge", data=data))
    assert report.class_column == "age"
    assert [(row["attribute"], row["hit"]["share"]) for row in report.rows] == [("young", 1.0), ("old", 1.0)]
    assert report.rows[0]["leakage"]["old"] is None, "the class given up has to change"
    assert known(report.rows[0]["leakage"]["middle"])["share"] == 0.0
    judge.class_column = "race"
    with pytest.raises(UsageError, match="tells the class 'race'"):
        control(SimpleNamespace(run=run, judge="judge", data=data))


def test_an_attribute_learned_as_two_classes_is_toggled_as_one(place, tmp_path, monkeypatch):
    run = save_run(tmp_path, tiny_recipe({"kind": "class_label", "column": "Male", "dim": 32}))

    def by_class(self, inputs, seeds, settings, *rest, **options):
        wanted = torch.zeros(len(inputs), 3)
        wanted[:, 2] = 2 * inputs - 1
        return drawer()(self, wanted, seeds, settings)

    monkeypatch.setattr(FaceGenerator, "generate", by_class)
    report = control(SimpleNamespace(run=run, judge=place.judge, data=place.data))
    assert [row["attribute"] for row in report.rows] == ["Male"]
    assert report.rows[0]["hit"]["share"] > 0.9
    assert known(report.rows[0]["leakage"]["Smiling"])["share"] < 0.1
