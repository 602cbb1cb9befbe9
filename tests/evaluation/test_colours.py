"""Whatever images are judged for, colours that are shifted against real ones are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.copied_faces import COPIES
from support.evaluation_parts import drawer, train_judge, write_shapes
from support.generator_parts import save_run
from support.tiny_clip import save_tiny_clip

from facegen.config.kinds import KindConfig
from facegen.evaluation.clip_score import evaluate_clip_score
from facegen.evaluation.colours import real_colours
from facegen.evaluation.memorization import evaluate_memorization
from facegen.evaluation.metric import evaluate_metric
from facegen.evaluation.options import ClipScoreOptions, MetricOptions, Selection, SubgroupOptions
from facegen.evaluation.subgroups import evaluate_subgroups
from facegen.models import real_features
from facegen.models.feature_cache import Viewer
from facegen.models.generator import FaceGenerator
from facegen.models.real_features import RealImages
from facegen.progress import SilentProgress


class Count:
    """A metric from outside: how many images it saw."""

    class Config(KindConfig, frozen=True):
        pass

    num_images = 0

    @staticmethod
    def build(config: Any, **wired: Any) -> Count:
        return Count()

    def update(self, images: torch.Tensor, records: Any) -> None:
        self.num_images += len(images)

    def compute(self) -> dict[str, int]:
        return {"images": self.num_images}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("colours")
    dataset = write_shapes(folder / "shapes", {"train": 120, "validation": 60})
    return SimpleNamespace(
        data=dataset.folder,
        dataset=dataset,
        run=save_run(folder),
        judge=train_judge(dataset, folder / "judge", steps=2),
        clip=str(save_tiny_clip(folder / "clip")),
    )


def subgroups(place: SimpleNamespace) -> Any:
    selection = Selection(num_samples=60, data=place.data)
    return evaluate_subgroups(place.run, place.judge, place.data, SubgroupOptions(selection=selection))


def memorization(place: SimpleNamespace) -> Any:
    selection = Selection(num_samples=60, split="train", data=place.data)
    told = vars(COPIES) | {"selection": selection, "nominal_rate": 0.1}
    return evaluate_memorization(place.run, place.data, type(COPIES)(**told))


def clip_score(place: SimpleNamespace) -> Any:
    selection = Selection(num_samples=60, data=place.data)
    return evaluate_clip_score(place.run, place.clip, ClipScoreOptions(selection=selection))


def metric(place: SimpleNamespace) -> Any:
    options = MetricOptions(num_samples=60, reference=place.data)
    return evaluate_metric(place.run, f"{__name__}:Count", options)


@pytest.mark.parametrize("judge", [subgroups, memorization, clip_score, metric])
def test_pale_faces_are_named_and_honest_ones_are_not(
    place: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, judge: Callable[[SimpleNamespace], Any]
):
    def pale(self: Any, *rest: Any, **more: Any) -> torch.Tensor:
        return (drawer()(self, *rest, **more) // 2).to(torch.uint8)

    monkeypatch.setattr(FaceGenerator, "generate", drawer())
    honest = judge(place)
    assert honest.colour["red"]["low"] < 0 < honest.colour["red"]["high"]
    assert not [one for one in honest.remarks if one.startswith("Colour:")]
    monkeypatch.setattr(FaceGenerator, "generate", pale)
    report = judge(place)
    assert report.colour["green"]["high"] < 0
    (remark,) = [one for one in report.remarks if one.startswith("Colour:")]
    assert "below" in remark
    assert remark in report.to_json()["remarks"]


def test_of_a_large_set_a_drawn_part_is_looked_at_and_kept(
    place: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, extractor: Any
):
    viewer = Viewer.of(extractor, 16, None, SilentProgress())
    assert len(real_colours(RealImages(place.dataset, "train"), viewer)) == 120
    monkeypatch.setattr(real_features, "MAX_CACHED_FEATURES", 50)
    assert len(real_colours(RealImages(place.dataset, "train"), viewer)) == 50
