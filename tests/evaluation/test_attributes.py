"""Attribute evaluation with generators whose faults are known."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from support.evaluation_parts import ATTRIBUTES, drawer, train_judge, write_shapes
from support.generator_parts import save_run
from support.known import known

from facegen.errors import MissingModelError, UsageError
from facegen.evaluation.attributes import AttributeOptions, _caption, evaluate_attributes
from facegen.models.classifier import load_classifier
from facegen.models.generator import FaceGenerator


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("attributes")
    dataset = write_shapes(folder / "shapes", {"train": 256, "validation": 100})
    return SimpleNamespace(data=dataset, judge=train_judge(dataset, folder / "judge"), run=save_run(folder))


def options(place: SimpleNamespace, **changes) -> AttributeOptions:
    return AttributeOptions(**{"num_samples": 100, "data": place.data.folder, "device": "cpu", **changes})


def test_the_judge_knows_its_held_out_accuracy(place: SimpleNamespace):
    judge = load_classifier(place.judge, torch.device("cpu"))
    assert judge.attributes == ATTRIBUTES
    assert min(scores["accuracy"] for scores in judge.held_out.values()) > 0.95


def test_a_generator_that_draws_what_is_asked_gets_everything(place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FaceGenerator, "generate", drawer())
    report = evaluate_attributes(place.run, place.judge, options(place))
    assert report.share_all > 0.95
    assert report.share_present is not None
    assert report.share_present > 0.95
    assert report.real is not None
    assert report.real["all"]["share"] > 0.95
    assert report.reconstructed == report.real, "the identity autoencoder changes nothing"
    row = report.attributes["Smiling"]
    assert row["asked_yes"]["num_asked"] + row["asked_no"]["num_asked"] == 100
    assert known(row["accuracy_on_real"]) > 0.95
    assert known(row["classifier_accuracy"]) > 0.95
    assert report.classifier_accuracy is not None
    assert report.classifier_accuracy > 0.95


def test_an_attribute_always_drawn_wrong_is_counted_and_named(place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FaceGenerator, "generate", drawer(flip=("Eyeglasses",)))
    report = evaluate_attributes(place.run, place.judge, options(place))
    assert report.share_all == pytest.approx(2 / 3, abs=0.03)
    assert known(report.attributes["Eyeglasses"]["asked_yes"]["hit_rate"]) < 0.05
    assert known(report.attributes["Eyeglasses"]["asked_no"]["hit_rate"]) < 0.05
    assert known(report.attributes["Male"]["asked_yes"]["hit_rate"]) > 0.95
    assert report.weakest[0] == "Eyeglasses"


def test_precision_and_recall_take_the_request_for_the_truth(place, monkeypatch: pytest.MonkeyPatch):
    honest = drawer()

    def everybody_smiles(self, inputs, *rest, **options):
        wished = inputs.clone()
        wished[:, ATTRIBUTES.index("Smiling")] = 1
        return honest(self, wished, *rest, **options)

    monkeypatch.setattr(FaceGenerator, "generate", everybody_smiles)
    report = evaluate_attributes(place.run, place.judge, options(place))
    smiling, male = report.attributes["Smiling"], report.attributes["Male"]
    share = smiling["asked_yes"]["num_asked"] / 100
    assert known(smiling["recall"]) > 0.95
    assert smiling["precision"] == pytest.approx(share, abs=0.05), "all smile, and so many were asked to"
    assert smiling["accuracy"] == pytest.approx(share, abs=0.05)
    assert min(known(male[key]) for key in ("recall", "precision", "accuracy")) > 0.95
    assert min(known(smiling[key]) for key in ("recall_on_real", "precision_on_real")) > 0.95, (
        "the classifier is not to blame"
    )


def test_a_fixed_request_is_counted_per_attribute(place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FaceGenerator, "generate", drawer(flip=("Smiling",)))
    report = evaluate_attributes(
        place.run, place.judge, options(place, attributes="Male=1,Smiling=0", num_samples=70)
    )
    assert set(report.attributes) == {"Male", "Smiling"}
    assert report.attributes["Male"]["asked_yes"] == {"num_asked": 70, "hit_rate": pytest.approx(1, abs=0.05)}
    assert report.attributes["Smiling"]["asked_no"]["hit_rate"] == pytest.approx(0, abs=0.05)
    assert report.generated["whole_request"]["share"] == pytest.approx(0, abs=0.05)
    assert report.real is None
    assert report.attributes["Male"]["precision_on_real"] is None
    assert report.attributes["Male"]["precision"] == 1, "nobody was asked not to"
    assert report.attributes["Smiling"]["recall"] is None
    assert report.attributes["Smiling"]["precision"] == 0
    assert report.request == "Male=1,Smiling=0"


def test_the_real_network_is_sampled_and_the_report_and_grid_are_kept(place: SimpleNamespace):
    report = evaluate_attributes(
        place.run, place.judge, options(place, num_samples=10, steps=2, guidance=1.5)
    )
    assert report.saved_to is not None
    saved = json.loads(report.saved_to.read_text())
    assert saved["format_version"] == 1
    assert saved["share_all"] == report.share_all
    assert saved["settings"]["steps"] == 2
    assert saved["settings"]["guidance_scale"] == 1.5
    assert saved["generated"]["all"]["low"] <= report.share_all <= saved["generated"]["all"]["high"]
    assert report.saved_to.parent == place.run / "evaluations"
    assert report.grid is not None
    with Image.open(report.grid) as grid:
        assert grid.width > 8 * 16


def test_the_same_seed_gives_the_same_report(place: SimpleNamespace):
    chosen = options(place, num_samples=12, steps=2, seed=5)
    first, again = (evaluate_attributes(place.run, place.judge, chosen) for _ in range(2))
    assert first.generated == again.generated
    assert first.saved_to != again.saved_to


def test_attributes_nobody_knows_are_refused(place: SimpleNamespace):
    with pytest.raises(UsageError, match="Did you mean 'Smiling'"):
        evaluate_attributes(place.run, place.judge, options(place, attributes="Smilling=1"))


def test_label_rows_that_are_gone_ask_for_data(place: SimpleNamespace):
    with pytest.raises(UsageError, match="--data"):
        evaluate_attributes(place.run, place.judge, options(place, data=None))


def test_runs_of_the_wrong_kind_are_refused_either_way(place: SimpleNamespace, tmp_path: Path):
    with pytest.raises(UsageError, match="attribute classifier is needed"):
        evaluate_attributes(place.run, place.run, options(place))
    with pytest.raises(UsageError, match="does not generate faces"):
        evaluate_attributes(place.judge, place.judge, options(place))
    with pytest.raises(MissingModelError):
        evaluate_attributes(place.run, tmp_path, options(place))


def test_captions_tell_wishes_and_faults_and_of_long_requests_the_faults_alone():
    asked = {"Male": True, "Smiling": True, "Bald": False}
    assert _caption(asked, {"Male": True, "Smiling": False, "Bald": True}) == (
        "Male\nmissed: Smiling\nunwanted: Bald"
    )
    assert _caption({"Bald": False}, {"Bald": False}) == "nothing asked"
    many = {f"No_{number}": number < 20 for number in range(40)}
    seen = {name: value != (name in ("No_3", "No_30")) for name, value in many.items()}
    assert _caption(many, seen) == "38 of 40 right\nmissed: No 3\nunwanted: No 30"
    lines = _caption(many, dict.fromkeys(many, False)).splitlines()
    assert len(lines) == 8
    assert (lines[0], lines[-1]) == ("20 of 40 right", "and 14 more")
