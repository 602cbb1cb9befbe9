"""Findings of metrics, kept by what they depend on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from facegen.metrics import ReferenceFeatures
from facegen.metrics.fid import FrechetDistance
from facegen.models.feature_networks import colours_alone
from facegen.models.kept_scores import KeptMetric, Seen, name_of
from facegen.progress import SilentProgress

COLOURS = colours_alone()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))


def drawn(count: int, seed: int) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))


def kept(kind: str = "fid", reference: ReferenceFeatures | None = None) -> KeptMetric:
    reference = reference or ReferenceFeatures.of(drawn(50, 1))
    return KeptMetric.of(kind, COLOURS, reference, name_of(reference), SilentProgress())


@pytest.mark.parametrize("kind", ["fid", "kid", "precision_recall", "cmmd"])
def test_what_was_found_once_is_read_with_all_that_is_known_of_it(kind, monkeypatch: pytest.MonkeyPatch):
    seen = Seen.of(drawn(40, 2))
    first, values = kept(kind).judge(seen), kept(kind).values(seen)
    monkeypatch.setattr(type(kept(kind).metric), "judge", None)
    monkeypatch.setattr(type(kept(kind).metric), "values", None)
    again = kept(kind).judge(seen)
    assert again == first
    assert kept(kind).values(seen) == values
    for name, score in first.items():
        one, other = score.influence, again[name].influence
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.reference, other.reference)
            assert (one.num_reference, one.rest) == (other.num_reference, other.rest)


def test_other_images_another_reference_and_another_network_are_judged(monkeypatch: pytest.MonkeyPatch):
    seen, calls = Seen.of(drawn(40, 2)), []
    judged = FrechetDistance.judge

    def counted(metric: FrechetDistance, features: Tensor):
        calls.append(len(features))
        return judged(metric, features)

    monkeypatch.setattr(FrechetDistance, "judge", counted)
    kept().judge(seen)
    kept().judge(seen)
    assert calls == [40]
    kept().judge(Seen.of(drawn(40, 3)))
    kept(reference=ReferenceFeatures.of(drawn(50, 4))).judge(seen)
    replace(kept(), extractor=replace(COLOURS, fingerprint="another")).judge(seen)
    assert len(calls) == 4


def test_too_few_images_have_no_values():
    assert kept().values(Seen.of(drawn(15, 2))) == {}
    assert kept().values(None) == {}
