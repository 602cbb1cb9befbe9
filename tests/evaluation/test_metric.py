"""`facegen eval metric` with metrics that this file brings along."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.evaluation_parts import ATTRIBUTES, drawer, write_shapes
from support.generator_parts import save_run
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.config.kinds import KindConfig, load_kind, trust
from facegen.errors import DataError, UsageError
from facegen.evaluation.metric import MetricOptions, MetricReport, evaluate_metric
from facegen.models.generator import FaceGenerator
from facegen.progress import SilentProgress

HERE = __name__


class Brightness:
    """Mean brightness of the red channel where its attribute was asked for, and where not."""

    class Config(KindConfig, frozen=True):
        pass

    seen: SimpleNamespace
    rows: list[tuple[float, Any]]

    @staticmethod
    def build(config: Any, *, labels: Any, reference: Any) -> Brightness:
        metric = Brightness()
        Brightness.seen = SimpleNamespace(labels=labels, reference=reference)
        metric.rows = []
        return metric

    def update(self, images: torch.Tensor, records: Any) -> None:
        assert images.dtype == torch.uint8
        assert len(images) == len(records)
        self.rows += zip(images[:, 0].float().mean((1, 2)).tolist(), records[ATTRIBUTES[0]], strict=True)

    def compute(self) -> dict[str, Any]:
        means = {name: [red for red, wanted in self.rows if wanted == value] for name, value in ASKED}
        return {
            "red": {name: np.float64(np.mean(values)) for name, values in means.items()},
            "images": torch.tensor(len(self.rows)),
            "nothing": float("nan"),
            "every": [red for red, _ in self.rows],
        }


ASKED = (("asked", 1), ("not", 0))


class Silent(Brightness):
    """Offers no compute."""

    compute = None  # type: ignore[assignment]

    @staticmethod
    def build(config: Any, **wired: Any) -> Any:
        return Silent()


class Odd(Brightness):
    """Answers with what no report can hold."""

    @staticmethod
    def build(config: Any, **wired: Any) -> Any:
        metric = Odd()
        metric.rows = []
        return metric

    def compute(self) -> dict[str, Any]:
        return {"what": object()}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("metric")
    dataset = write_shapes(folder / "shapes", {"train": 8, "validation": 40})
    return SimpleNamespace(data=dataset.folder, run=save_run(folder))


def judge(place: SimpleNamespace, name: str = "Brightness", **options: Any) -> MetricReport:
    chosen = MetricOptions(**{"num_samples": 70, "reference": place.data, "device": "cpu", **options})
    return evaluate_metric(place.run, f"{HERE}:{name}", chosen, SilentProgress())


def test_images_come_with_the_labels_they_were_asked_with(place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FaceGenerator, "generate", drawer())
    for module in ("sampling.records", "evaluation.metric"):
        monkeypatch.setattr(f"facegen.{module}.BATCH_IMAGES", 8)
    report = judge(place)
    assert report.generated["red"]["asked"] > report.generated["red"]["not"] + 60
    assert report.real is not None
    assert report.real["red"]["asked"] == pytest.approx(report.generated["red"]["asked"], abs=3)
    assert report.generated["images"] == report.real["images"] == 70
    monkeypatch.setattr(FaceGenerator, "generate", drawer(flip=ATTRIBUTES[:1]))
    assert judge(place).generated["red"]["asked"] < 60


def test_the_metric_is_told_labels_and_real_images(place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FaceGenerator, "generate", drawer())
    judge(place, num_samples=4)
    assert Brightness.seen.labels.attributes == ATTRIBUTES
    assert len(Brightness.seen.reference) == 40


def test_the_report_is_kept_as_plain_json(place: SimpleNamespace) -> None:
    report = judge(place, num_samples=40, steps=1, seed=3)
    assert report.saved_to is not None
    assert report.saved_to.parent == place.run / "evaluations"
    saved = json.loads(report.saved_to.read_text())
    assert saved["format_version"] == 1
    assert saved["generated"]["nothing"] is None
    assert saved["generated"]["images"] == 40
    assert saved["settings"]["seed"] == 3
    assert saved["settings"]["steps"] == 1


def test_the_command_prints_a_table_of_numbers(place: SimpleNamespace) -> None:
    words = ["eval", "metric", str(place.run), "--metric", f"{HERE}:Brightness", "--reference"]
    result = CliRunner().invoke(
        app, [*words, str(place.data), "--num-samples", "4", "--steps", "1", "--device", "cpu"]
    )
    assert result.exit_code == 0, result.stderr
    assert f"{HERE}:Brightness\n" in result.stdout
    assert re.search(r"drawn faces +4\n", result.stdout)
    assert "red.asked" in result.stdout
    assert "every" not in result.stdout
    assert "Saved to" in result.stdout


def test_what_is_no_metric_is_refused_in_words(place, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="built a Silent without compute"):
        judge(place, "Silent")
    with pytest.raises(UsageError, match="could not be imported"):
        judge(place, "Missing")
    with pytest.raises(UsageError, match="answers with a object, which a report cannot hold"):
        judge(place, "Odd", num_samples=1, steps=1)
    with pytest.raises(UsageError, match="a command of its own: facegen eval fid"):
        evaluate_metric(place.run, "fid")
    with pytest.raises(UsageError, match="at least 1"):
        judge(place, num_samples=0)
    other = write_shapes_of_another_size(tmp_path)
    with pytest.raises(DataError, match=r"draws 16 pixels and the reference .* has 32"):
        judge(place, reference=other)


def write_shapes_of_another_size(folder: Path) -> Path:
    from support.tiny_dataset import write_dataset

    return write_dataset(folder / "large", size=32).folder


@pytest.mark.parametrize("family", ["denoisers", "conditioners", "samplers", "metrics", "autoencoders"])
def test_a_kind_of_any_family_may_come_from_outside(family: str) -> None:
    trust({"a": {"kind": f"{HERE}:Brightness"}, "b": f"{HERE}:HERE"})
    trust("no_such_module:Name")
    assert load_kind(family, f"{HERE}:Brightness").build is Brightness.build
    with pytest.raises(UsageError, match=f"{family} kind 'no_such_module:Name' could not be imported"):
        load_kind(family, "no_such_module:Name")
    with pytest.raises(UsageError, match="must offer 'Config' and 'build'"):
        load_kind(family, f"{HERE}:HERE")
