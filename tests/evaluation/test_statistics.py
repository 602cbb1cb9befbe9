"""Statistics of real images: cached by everything they depend on, and the floor they give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from facegen.errors import DataError
from facegen.evaluation.feature_cache import cache_folder
from facegen.evaluation.features import FeatureExtractor
from facegen.evaluation.honesty import check_sample_count, real_floor, remarks_on
from facegen.evaluation.statistics import RealImages, real_features, real_statistics
from facegen.formats.dataset import Dataset
from facegen.metrics.fid import FeatureStatistics, frechet_distance
from facegen.progress import SilentProgress

Make = Callable[..., Dataset]


def floor_of(dataset: Dataset, extractor: FeatureExtractor, num_samples: int) -> Any:
    statistics = real_statistics(RealImages(dataset, "train"), extractor, 16, SilentProgress())
    return real_floor(
        dataset,
        "train",
        statistics,
        extractor,
        num_samples=num_samples,
        seed=0,
        batch_size=16,
        progress=SilentProgress(),
    )


def test_reference_features_are_computed_once(make_dataset: Make, extractor: FeatureExtractor, counter: Any):
    real = RealImages(make_dataset({"train": 40}), "train")
    first = real_statistics(real, extractor, 16, SilentProgress())
    assert counter.seen == 40
    second = real_statistics(real, extractor, 7, SilentProgress())
    assert counter.seen == 40
    assert frechet_distance(first, second) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("change", ["extractor", "split", "count", "seed", "dataset"])
def test_everything_features_depend_on_is_part_of_the_key(
    make_dataset: Make, extractor: FeatureExtractor, counter: Any, change: str
):
    real = RealImages(make_dataset({"train": 40, "test": 40}), "train", count=20)
    real_features(real, extractor, 16, SilentProgress())
    seen = counter.seen
    if change == "extractor":
        extractor = replace(extractor, fingerprint="colour:2")
    elif change == "split":
        real = replace(real, split="test")
    elif change == "dataset":
        real = replace(real, dataset=make_dataset({"train": 40, "test": 40}, seed=1))
    else:
        real = replace(real, **{change: 21})
    real_features(real, extractor, 16, SilentProgress())
    assert counter.seen > seen


def test_a_damaged_cache_file_is_computed_anew_and_told(
    make_dataset: Make, extractor: FeatureExtractor, counter: Any, cache: Path
):
    real = RealImages(make_dataset({"train": 40}), "train")
    whole = real_features(real, extractor, 16, SilentProgress())
    [file] = (cache / "features").iterdir()
    file.write_bytes(file.read_bytes()[:50])
    progress = SilentProgress()
    torch.testing.assert_close(real_features(real, extractor, 16, progress), whole)
    assert counter.seen == 80
    assert "damaged" in progress.warned[0]


def test_a_cache_that_cannot_be_written_costs_only_a_warning(
    make_dataset: Make, extractor: FeatureExtractor, cache: Path
):
    cache.write_text("a file where the folder should be")
    progress = SilentProgress()
    features = real_features(RealImages(make_dataset({"train": 40}), "train"), extractor, 16, progress)
    assert len(features) == 40
    assert "not kept" in progress.warned[0]


def test_the_cache_follows_its_environment_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("FACEGEN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "facegen"


def test_floor_comes_from_held_out_images_where_there_are_enough(
    make_dataset: Make, extractor: FeatureExtractor
):
    dataset = make_dataset({"train": 80, "validation": 10, "test": 30})
    floor = floor_of(dataset, extractor, 30)
    train = extractor(dataset.split("train").images(range(80)))
    test = extractor(dataset.split("test").images(range(30)))
    expected = frechet_distance(FeatureStatistics.of(test), FeatureStatistics.of(train))
    assert floor.score == pytest.approx(expected, rel=1e-9)
    assert (floor.method, floor.num_samples, floor.num_reference) == ("held-out", 30, 80)


def test_floor_comes_from_disjoint_halves_otherwise(make_dataset: Make, extractor: FeatureExtractor):
    floor = floor_of(make_dataset({"train": 80}), extractor, 30)
    assert (floor.method, floor.num_samples, floor.num_reference) == ("halves", 30, 50)
    assert floor.score > 0


def test_no_floor_is_claimed_from_a_handful_of_images(make_dataset: Make, extractor: FeatureExtractor):
    assert floor_of(make_dataset({"train": 20}), extractor, 20) is None


def test_too_few_samples_are_counted_and_explained():
    with pytest.raises(DataError, match=r"7 images are too few.*at least 16"):
        check_sample_count(7, "'samples'")


def test_remarks_name_rank_deficiency_and_fall_silent_for_ample_samples():
    assert "rank-deficient" in remarks_on(500, 50_000, 2048)[0]
    assert "reference has only" in remarks_on(50_000, 500, 2048)[0]
    assert remarks_on(50_000, 50_000, 2048) == []
