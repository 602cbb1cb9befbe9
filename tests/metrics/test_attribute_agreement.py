"""Attribute agreement against confusion tables worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from support.known import known

from facegen.errors import DataError
from facegen.metrics import ratio_interval
from facegen.metrics._intervals import resamples, tails
from facegen.metrics.attributes import AttributeAgreement, Config, build

NAMES = ("Smiling", "Bald", "Young")


def corner_pixels(images: torch.Tensor) -> torch.Tensor:
    """A classifier that reads its answers off the first three pixels of the red channel."""
    return images[:, 0, 0, :3].float() - 128


def faces(seen: list[list[int]]) -> torch.Tensor:
    images = torch.zeros(len(seen), 3, 4, 4, dtype=torch.uint8)
    images[:, 0, 0, :3] = torch.tensor(seen, dtype=torch.uint8) * 255
    return images


def asked(rows: list[list[int | None]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(NAMES)).astype("Int8")


def agreement(seen: list[list[int]], rows: list[list[int | None]]) -> AttributeAgreement:
    metric = build(Config(), logits=corner_pixels, attributes=NAMES)
    metric.update(faces(seen), asked(rows))
    return metric


def test_known_confusion_gives_the_known_shares():
    result = agreement(
        seen=[[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 0, 0]],
        rows=[[1, 0, None], [1, 1, None], [0, 1, None], [0, 0, None]],
    ).compute()
    assert result["all"]["share"] == pytest.approx(5 / 8)
    assert known(result["present"])["share"] == pytest.approx(2 / 4)
    assert known(result["absent"])["share"] == pytest.approx(3 / 4)
    assert result["whole_request"]["share"] == pytest.approx(2 / 4)
    assert result["attributes"]["Smiling"]["asked_yes"] == {"num_asked": 2, "hit_rate": 0.5}
    assert result["attributes"]["Bald"]["asked_no"] == {"num_asked": 2, "hit_rate": 1.0}
    assert "Young" not in result["attributes"], "nobody asked for it"


def test_interval_encloses_the_share_and_narrows_with_images():
    few = agreement([[1, 0, 0], [0, 0, 0]] * 10, [[1, None, None]] * 20).compute()["all"]
    many = agreement([[1, 0, 0], [0, 0, 0]] * 500, [[1, None, None]] * 1000).compute()["all"]
    for result in (few, many):
        assert result["low"] < result["share"] == 0.5 < result["high"]
    assert many["high"] - many["low"] < 0.25 * (few["high"] - few["low"])


def test_bootstrap_interval_matches_the_binomial_standard_error():
    hits = np.repeat([1, 0], [300, 100])
    low, high = ratio_interval(hits, np.ones_like(hits), seed=0)
    standard_error = (0.75 * 0.25 / 400) ** 0.5
    assert (high - low) / 2 == pytest.approx(1.96 * standard_error, rel=0.06)


def test_batches_add_up_to_the_whole():
    seen, rows = [[1, 0, 1], [0, 0, 1], [1, 1, 0]], [[1, 0, 1], [1, None, 1], [0, 1, 1]]
    metric = build(Config(), logits=corner_pixels, attributes=NAMES)
    for one_seen, one_row in zip(seen, rows, strict=True):
        metric.update(faces([one_seen]), asked([one_row]))
    assert metric.compute() == agreement(seen, rows).compute()


def test_attributes_without_a_column_count_as_not_asked_for():
    metric = build(Config(), logits=corner_pixels, attributes=NAMES)
    metric.update(faces([[1, 0, 0]]), asked([[1, 1, 1]])[["Smiling"]])
    assert metric.compute()["all"] == {"share": 1.0, "low": 1.0, "high": 1.0, "num_asked": 1}


def test_asking_for_nothing_is_an_error():
    with pytest.raises(DataError, match="asked for"):
        agreement([[1, 0, 0]], [[None, None, None]]).compute()


def test_resamples_of_few_images_end_farther_out() -> None:
    """By tables: Student's 2.262 of 10 times sqrt(10 / 9) is the normal's 0.86 %; of many it is 2.5 %."""
    assert tails(10)[0] == pytest.approx(0.0086, abs=0.0002)
    assert tails(60)[0] == pytest.approx(0.0218, abs=0.0001)
    assert tails(1_000_000) == pytest.approx((0.025, 0.975), abs=1e-6)
    hits = np.array([0.0, 1, 1, 1, 0, 1, 1, 1, 1, 0.5])
    means = resamples(10) @ hits / 10
    assert ratio_interval(hits, np.ones(10)) == pytest.approx(tuple(np.quantile(means, tails(10))))
