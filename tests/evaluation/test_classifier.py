"""`facegen eval classifier`: scores on unseen images, refusals, and where the report goes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support.evaluation_parts import train_judge, write_shapes

from facegen.errors import DataError, MissingModelError, UsageError
from facegen.evaluation.classifier import ClassifierOptions, evaluate_classifier
from facegen.models.classifier import load_classifier


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    root = tmp_path_factory.mktemp("judged")
    data = write_shapes(root / "data", {"train": 192, "validation": 64, "test": 96})
    return SimpleNamespace(data=data, run=train_judge(data, root / "run"), root=root)


def test_each_label_is_scored_on_the_split_named(place: SimpleNamespace):
    report = evaluate_classifier(place.run, place.data.folder, ClassifierOptions(min_positives=10))
    judge = load_classifier(place.run, torch.device("cpu"))
    split = place.data.split("test")
    assert report.num_images == 96
    assert set(report.labels) == set(judge.attributes)
    name = judge.attributes[0]
    says_yes = judge.logits(split.images(range(96)))[:, 0] > 0
    truth = torch.tensor(split.frame[name].astype("float32").to_numpy()) > 0.5
    assert report.labels[name]["accuracy"] == pytest.approx(float((says_yes == truth).float().mean()))
    low, high = report.labels[name]["auc_interval"]
    assert low <= report.labels[name]["auc"] <= high
    assert report.means["auc"] is not None
    assert report.means["auc"] > 0.9
    saved = json.loads(Path(str(report.saved_to)).read_text())
    assert saved["metric"] == "classifier"
    assert Path(str(report.saved_to)).parent == place.run / "evaluations"


def test_splits_are_judged_together_and_rare_labels_stay_out_of_the_means(place: SimpleNamespace):
    options = ClassifierOptions(splits=("test", "validation"), min_positives=10_000)
    report = evaluate_classifier(place.run, place.data.folder, options)
    assert report.num_images == 160
    assert report.num_scored == 0
    assert report.means["auc"] is None
    assert any("calibrated it" in remark for remark in report.remarks)


@pytest.mark.parametrize(
    ("splits", "error", "says"),
    [((), UsageError, "No splits"), (("tset",), DataError, "tset")],
)
def test_what_cannot_be_judged_is_refused(place: SimpleNamespace, splits, error, says):
    with pytest.raises(error, match=says):
        evaluate_classifier(place.run, place.data.folder, ClassifierOptions(splits=splits))


def test_a_run_that_is_not_there_is_refused(place: SimpleNamespace):
    with pytest.raises(MissingModelError):
        evaluate_classifier(place.root / "nothing", place.data.folder)
