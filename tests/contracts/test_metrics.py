"""Every metric kind keeps its family's contract, whatever it measures."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from facegen.config.kinds import kind_config, kinds_of, load_kind
from facegen.errors import UsageError
from facegen.formats.plain import plain
from facegen.metrics import FeatureMetric, ReferenceFeatures
from facegen.metrics.subgroups import groups_of

COUNT, WIDTH = 48, 6
NAMES = ("Smiling", "Bald")


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pictures(seed: int) -> Tensor:
    """uint8 (COUNT, 3, 12, 12)."""
    return (128 + 40 * noise(COUNT, 3, 12, 12, seed=seed)).clamp(0, 255).byte()


def looks(images: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) -> features (B, WIDTH), the same to the bit in batches of any size."""
    return images.float().flatten(1) @ noise(3 * 12 * 12, WIDTH, seed=9).mul(8).round() / 2000


def logits(images: Tensor) -> Tensor:
    return looks(images)[:, : len(NAMES)]


def words(captions: Any) -> Tensor:
    return torch.stack([noise(WIDTH, seed=len(caption)) for caption in captions])


FRAME = pd.DataFrame({name: pd.array([0, 1] * (COUNT // 2), "Int8") for name in NAMES})
FRAME.loc[::3, "Bald"] = pd.NA
FRAME["caption"] = [f"a face {'!' * (row % 3)}" for row in range(COUNT)]
REFERENCE = looks(pictures(2))
FEATURES = {"reference": ReferenceFeatures.of(REFERENCE)}
Parts = tuple[Any, ...]

WIRED: dict[str, dict[str, Any]] = {
    "attributes": {"logits": logits, "attributes": NAMES},
    "classification": {"labels": NAMES},
    "cmmd": FEATURES,
    "clip_score": {"image_features": looks, "text_features": words},
    "diversity": FEATURES,
    "fid": FEATURES,
    "inception_score": {"class_weights": noise(4, WIDTH, seed=3)},
    "kid": FEATURES,
    "mind": FEATURES,
    "memorization": {
        "features": looks,
        "train": REFERENCE,
        "mirrored": looks(pictures(2).flip(3)),
        "held_out": looks(pictures(3)),
    },
    "precision_recall": FEATURES,
    "reconstruction": {"distance": lambda one, other: (looks(one) - looks(other)).norm(dim=1)},
    "subgroups": {
        "features": looks,
        "logits": logits,
        "attributes": NAMES,
        "groups": groups_of(NAMES, {}),
        "reference": REFERENCE,
        "reference_records": FRAME,
    },
}
SETTINGS = {"memorization": {"nominal_rate": 0.1}, "subgroups": {"small_below": 8}}
INPUTS: dict[str, Callable[[], Parts]] = {
    "classification": lambda: (
        logits(pictures(1)),
        logits(pictures(1)).sigmoid(),
        torch.tensor(FRAME[list(NAMES)].to_numpy(float)),
    ),
    "reconstruction": lambda: (pictures(1), pictures(4)),
}


def metric_of(kind: str) -> Any:
    config = kind_config("metrics", {"kind": kind, **SETTINGS.get(kind, {})})
    return load_kind("metrics", kind).build(config, **WIRED[kind])


def told(kind: str, *sizes: int) -> Any:
    """A metric that has been told its images in parts of these sizes; one of features needs no telling."""
    metric = metric_of(kind)
    if not isinstance(metric, FeatureMetric):
        inputs, start = INPUTS.get(kind, lambda: (pictures(1), FRAME))(), 0
        for size in sizes:
            metric.update(*(part[start : start + size] for part in inputs))
            start += size
    return metric


def answer(metric: Any) -> Any:
    if not isinstance(metric, FeatureMetric):
        return metric.compute()
    found = metric.judge(looks(pictures(1)))
    return {name: dataclasses.replace(score, influence=None) for name, score in found.items()}


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in leaves(part)]
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, list) else [value]


KINDS = sorted(WIRED)
COLLECTING = [kind for kind in KINDS if WIRED[kind] is not FEATURES and kind != "inception_score"]


def test_every_metric_kind_is_under_contract() -> None:
    assert kinds_of("metrics") == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_metrics_kind_is_its_files_name(kind: str) -> None:
    assert load_kind("metrics", kind).Config().kind == kind  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_key_is_refused_with_the_nearest(kind: str) -> None:
    key = list(load_kind("metrics", kind).Config.model_fields)[-1]
    with pytest.raises(UsageError, match=f"unknown key '{key}s'.*'{key}'"):
        kind_config("metrics", {"kind": kind, f"{key}s": 1})


@pytest.mark.parametrize("kind", COLLECTING)
def test_images_in_parts_count_as_at_once(kind: str) -> None:
    whole = answer(told(kind, COUNT))
    assert json.dumps(plain(answer(told(kind, 5, 30, 13)))) == json.dumps(plain(whole))


@pytest.mark.parametrize("kind", KINDS)
def test_asked_twice_a_metric_says_the_same_and_draws_no_chance_of_others(kind: str) -> None:
    metric, state = told(kind, COUNT), torch.get_rng_state()
    assert plain(answer(metric)) == plain(answer(metric))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_is_plain_json_of_finite_numbers_or_none(kind: str) -> None:
    found = answer(told(kind, COUNT))
    if isinstance(metric_of(kind), FeatureMetric):
        found = {name: dataclasses.asdict(score) for name, score in found.items()}
    text = json.dumps(found, allow_nan=False)  # refuses tensors, arrays and numpy's numbers
    numbers = [leaf for leaf in leaves(json.loads(text)) if isinstance(leaf, float)]
    assert numbers
    assert all(map(math.isfinite, numbers))
