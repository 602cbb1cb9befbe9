"""What single images add to a score, kept beside its report."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.known import known

from facegen.errors import DataError
from facegen.formats.influences import (
    Influence,
    Influences,
    difference_variance,
    load_influences,
    save_influences,
)


def noise(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_they_are_kept_beside_the_report_as_they_are(tmp_path: Path) -> None:
    kept = Influences({"kid": Influence(noise(5, seed=1), noise(7, seed=2), 70, 0.25)}, "same")
    save_influences(tmp_path / "all.json", kept)
    found = known(load_influences(tmp_path / "all.json"))
    assert found.pairing == "same"
    assert torch.equal(found.scores["kid"].images, kept.scores["kid"].images)
    assert torch.equal(found.scores["kid"].reference, kept.scores["kid"].reference)
    assert (found.scores["kid"].num_reference, found.scores["kid"].rest) == (70, 0.25)
    assert load_influences(tmp_path / "other.json") is None


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "all.safetensors").write_bytes(b"half")
    with pytest.raises(DataError, match=r"all\.safetensors' is damaged"):
        load_influences(tmp_path / "all.json")


def test_the_luck_that_two_scores_share_falls_out_of_their_difference() -> None:
    of_images, of_reference = noise(400, seed=1), noise(300, seed=2)
    a = Influence(of_images, of_reference, 300, 0.001)
    b = Influence(of_images + 0.1 * noise(400, seed=3), of_reference + 0.1 * noise(300, seed=4), 300, 0.002)
    variance, shared = difference_variance(a, b, same_requests=True)
    assert shared == ("images", "reference")
    assert variance == pytest.approx(0.01 / 400 + 0.01 / 300 + 0.003, rel=0.05)
    variance, shared = difference_variance(a, b, same_requests=False)
    assert shared == ("reference",)
    assert variance == pytest.approx(2 / 400 + 0.01 / 300 + 0.003, rel=0.15)
    fewer = Influence(of_images[:200], of_reference[:100], 100)
    assert difference_variance(a, fewer, same_requests=True)[1] == ()


def test_the_influences_of_a_ratio_are_those_of_its_delta_method() -> None:
    counts = torch.randint(1, 5, (20_000,), generator=torch.Generator().manual_seed(1))
    hits = torch.binomial(
        counts.float(), torch.full((20_000,), 0.7), generator=torch.Generator().manual_seed(2)
    )
    found = Influence.of_ratio(hits, counts)
    assert float(found.images.mean()) == pytest.approx(0, abs=1e-6)
    assert found.variance == pytest.approx(0.7 * 0.3 / (2.5 * 20_000), rel=0.05)
