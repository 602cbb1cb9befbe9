"""Many samples are judged as a stream: stopped anywhere it goes on, and ends with the score it had anyway."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support.evaluation_parts import drawer, train_judge, write_shapes
from support.generator_parts import save_run

from facegen.evaluation.distribution import evaluate
from facegen.evaluation.options import DistributionOptions
from facegen.models import feature_cache
from facegen.models.feature_stream import Stream
from facegen.models.generator import FaceGenerator
from facegen.progress import SilentProgress


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("stream")
    dataset = write_shapes(folder / "shapes", {"train": 128, "validation": 64})
    judge = train_judge(dataset, folder / "judge")
    return SimpleNamespace(data=dataset, judge=judge, run=save_run(folder))


class Told(SilentProgress):
    """What was said and warned of."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.said.append(message)


def scores(place: SimpleNamespace, progress: SilentProgress | None = None) -> dict[str, float]:
    options = DistributionOptions(features=f"classifier:{place.judge}", num_samples=300, device="cpu")
    report = evaluate(place.run, place.data.folder, ("fid", "kid"), options, progress)
    return {name: row.value for name, row in report.scores.items()}


def test_a_stream_stopped_twice_ends_with_the_same_score(place, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(feature_cache, "STREAM_IMAGES", 64)
    seen, stops, draw = list[int](), set[int](), drawer()

    def generate(self, inputs, seeds, settings, *rest, **others):
        if stops.intersection(seeds):
            raise KeyboardInterrupt
        seen.extend(seeds)
        return draw(self, inputs, seeds, settings)

    monkeypatch.setattr(FaceGenerator, "generate", generate)
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "whole"))
    whole = scores(place)
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "stopped"))
    seen.clear()
    for number in (130, 200):
        stops.clear()
        stops.add(number)
        with pytest.raises(KeyboardInterrupt):
            scores(place)
    stops.clear()
    told = Told()
    assert scores(place, told) == whole
    assert sorted(seen) == list(range(300)), "each is drawn once"
    assert told.said == ["Going on: 192 of 300 images are judged already."]
    assert not list((tmp_path / "stopped" / "features").glob("*.parts"))
    assert scores(place, Told()) == whole
    assert len(seen) == 300, "a second evaluation draws nothing"


def test_what_cannot_be_kept_is_held_and_said(place, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(feature_cache, "STREAM_IMAGES", 64)
    monkeypatch.setattr(FaceGenerator, "generate", drawer())
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))
    whole = scores(place)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "file"))
    told = Told()
    assert scores(place, told) == whole
    assert any("held in memory" in line for line in told.said)


def test_a_damaged_part_is_looked_at_again(tmp_path: Path) -> None:
    stream, features = Stream(tmp_path / "x.parts"), torch.randn(25, 4)
    for start in (0, 10, 20):
        stream.add(start, features[start : start + 10])
    assert stream.length == 25
    (tmp_path / "x.parts" / "000000010.safetensors").write_bytes(b"torn")
    assert stream.length == 10
    stream.add(10, features[10:20])
    stream.finish(tmp_path / "x.safetensors")
    assert torch.equal(feature_cache.load_file(tmp_path / "x.safetensors")["features"], features)
    assert not (tmp_path / "x.parts").exists()


@pytest.mark.slow
def test_a_killed_stream_of_many_gives_the_undisturbed_score_in_flat_memory(place, monkeypatch) -> None:
    benchmarks = Path(__file__).parents[2] / "benchmarks"
    monkeypatch.syspath_prepend(str(benchmarks))
    found = importlib.import_module("stream").measure(
        place.run, place.data.folder, f"classifier:{place.judge}", 12_000, [4_000, 9_000]
    )
    assert found["same"], json.dumps(found)
    assert found["calls"] == 3
    assert found["went_on_from"][1] >= 9_000
    held = list(found["held_mb_by_images"].values())
    assert held[-1] < held[0] + 60
