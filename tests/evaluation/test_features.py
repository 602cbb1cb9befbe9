"""Statistics of real images: cached by everything they depend on, and the floor they give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from facegen.caches import user_cache
from facegen.evaluation.features import real_floor
from facegen.formats.dataset import Dataset
from facegen.metrics.fid import frechet_distance
from facegen.models.feature_cache import Viewer
from facegen.models.feature_networks import FeatureExtractor
from facegen.models.real_features import RealImages, real_features, real_reference
from facegen.progress import SilentProgress

Make = Callable[..., Dataset]


def floor_of(dataset: Dataset, extractor: FeatureExtractor, num_samples: int) -> Any:
    viewer = Viewer(extractor, 16, SilentProgress())
    reference = real_reference(RealImages(dataset, "train"), viewer)
    return real_floor(RealImages(dataset, "train", num_samples), reference, viewer)


def test_reference_features_are_computed_once(make_dataset: Make, extractor: FeatureExtractor, counter: Any):
    real = RealImages(make_dataset({"train": 40}), "train")
    first = real_reference(real, Viewer(extractor, 16, SilentProgress())).statistics
    assert counter.seen == 40
    second = real_reference(real, Viewer(extractor, 7, SilentProgress())).statistics
    assert counter.seen == 40
    assert frechet_distance(first, second) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("change", ["extractor", "split", "count", "seed", "dataset"])
def test_everything_features_depend_on_is_part_of_the_key(
    make_dataset: Make, extractor: FeatureExtractor, counter: Any, change: str
):
    real = RealImages(make_dataset({"train": 40, "test": 40}), "train", count=20)
    real_features(real, Viewer(extractor, 16, SilentProgress()))
    seen = counter.seen
    if change == "extractor":
        extractor = replace(extractor, fingerprint="colour:2")
    elif change == "split":
        real = replace(real, split="test")
    elif change == "dataset":
        real = replace(real, dataset=make_dataset({"train": 40, "test": 40}, seed=1))
    else:
        real = replace(real, **{change: 21})
    real_features(real, Viewer(extractor, 16, SilentProgress()))
    assert counter.seen > seen


def test_a_damaged_cache_file_is_computed_anew_and_told(
    make_dataset: Make, extractor: FeatureExtractor, counter: Any, cache: Path
):
    real = RealImages(make_dataset({"train": 40}), "train")
    whole = real_features(real, Viewer(extractor, 16, SilentProgress()))
    [file] = (cache / "features").iterdir()
    file.write_bytes(file.read_bytes()[:50])
    progress = SilentProgress()
    torch.testing.assert_close(real_features(real, Viewer(extractor, 16, progress)), whole)
    assert counter.seen == 80
    assert "damaged" in progress.warned[0]


def test_a_cache_that_cannot_be_written_costs_only_a_warning(
    make_dataset: Make, extractor: FeatureExtractor, cache: Path
):
    cache.write_text("a file where the folder should be")
    progress = SilentProgress()
    features = real_features(
        RealImages(make_dataset({"train": 40}), "train"), Viewer(extractor, 16, progress)
    )
    assert len(features) == 40
    assert "not kept" in progress.warned[0]


def test_the_cache_follows_its_environment_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "mine"))
    assert user_cache() == tmp_path / "mine"
    monkeypatch.delenv("FACEGEN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert user_cache() == tmp_path / "xdg" / "facegen"


def test_floor_comes_from_held_out_images_where_there_are_enough(
    make_dataset: Make, extractor: FeatureExtractor
):
    dataset = make_dataset({"train": 80, "validation": 10, "test": 30})
    floor = floor_of(dataset, extractor, 30)
    test = extractor(dataset.split("test").images(range(30)))
    torch.testing.assert_close(floor.features, test)
    assert floor.facts == {"method": "held-out", "num_samples": 30, "num_reference": 80}


def test_floor_comes_from_disjoint_halves_otherwise(make_dataset: Make, extractor: FeatureExtractor):
    floor = floor_of(make_dataset({"train": 80}), extractor, 30)
    assert floor.facts == {"method": "halves", "num_samples": 30, "num_reference": 50}
    assert not {tuple(row) for row in floor.features.tolist()} & {
        tuple(row) for row in floor.reference.features.tolist()
    }


def test_no_floor_is_claimed_from_a_handful_of_images(make_dataset: Make, extractor: FeatureExtractor):
    assert floor_of(make_dataset({"train": 20}), extractor, 20) is None


def test_a_large_reference_keeps_all_in_its_gaussian_and_some_features(
    make_dataset: Make, extractor: FeatureExtractor, counter: Any, monkeypatch: pytest.MonkeyPatch
):
    dataset = make_dataset({"train": 60})
    whole = real_reference(RealImages(dataset, "train"), Viewer(extractor, 16, SilentProgress())).statistics
    seen = counter.seen
    monkeypatch.setattr("facegen.models.real_features.MAX_CACHED_FEATURES", 25)
    for _ in range(2):
        reference = real_reference(RealImages(dataset, "train"), Viewer(extractor, 16, SilentProgress()))
        assert len(reference.features) == 25
        assert reference.statistics.num_samples == 60
        assert frechet_distance(reference.statistics, whole) == pytest.approx(0, abs=1e-9)
    assert counter.seen == seen + 60


def test_a_cache_of_another_version_is_not_read(
    make_dataset: Make, extractor: FeatureExtractor, counter: Any, monkeypatch: pytest.MonkeyPatch
):
    real = RealImages(make_dataset({"train": 40}), "train")
    real_features(real, Viewer(extractor, 16, SilentProgress()))
    monkeypatch.setattr("facegen.models.feature_cache.CACHE_FORMAT_VERSION", 0)
    real_features(real, Viewer(extractor, 16, SilentProgress()))
    assert counter.seen == 80
