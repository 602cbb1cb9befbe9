import numpy as np
import pytest

from facegen.metrics.attributes import kept_attributes

RNG = np.random.default_rng(0)


def test_chance_is_the_mean_agreement_over_all_permutations():
    label = np.array([1.0, 1, 1, 0])[:, None]
    seen = np.array([True, False, True, True])[:, None]
    row = kept_attributes(label, seen, ["Male"])["Male"]
    shuffled = [np.mean(seen[:, 0] == (label[order, 0] == 1)) for order in _permutations(4)]
    assert row["chance"] == pytest.approx(np.mean(shuffled))
    assert row["agreement"] == 0.5
    assert row["margin"] == pytest.approx(0.5 - row["chance"])
    assert row["num_images"] == 4


def test_what_is_kept_stands_above_chance_and_what_is_drawn_blindly_does_not():
    labels = (RNG.random((400, 3)) < [0.5, 0.9, 0.5]).astype(float)
    seen = labels == 1
    seen[:, 1] = True  # always drawn: right nine times out of ten, and no better than chance
    seen[:, 2] ^= RNG.random(400) < 0.3
    report = kept_attributes(labels, seen, ["always", "blind", "often"])
    assert report["always"]["agreement"] == 1
    assert report["always"]["margin_low"] > 0.4
    assert report["blind"]["agreement"] == report["blind"]["chance"] > 0.85
    assert report["blind"]["margin_low"] == pytest.approx(0) == report["blind"]["margin_high"]
    assert (
        0.1 < report["often"]["margin_low"] < report["often"]["margin"] < report["often"]["margin_high"] < 0.3
    )


def test_unknown_labels_do_not_count():
    labels = np.array([[1, np.nan], [np.nan, np.nan], [0, np.nan]])
    report = kept_attributes(labels, np.ones((3, 2), bool), ["Male", "Young"])
    assert list(report) == ["Male"]
    assert report["Male"]["num_images"] == 2


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    inside = 0
    for seed in range(50):
        rng = np.random.default_rng(seed)
        label = rng.random(200) < 0.5
        seen = label ^ (rng.random(200) < 0.2)
        row = kept_attributes(label[:, None].astype(float), seen[:, None], ["x"], seed=seed)["x"]
        inside += row["agreement_low"] <= 0.8 <= row["agreement_high"]
    assert 43 <= inside <= 50


def _permutations(count):
    from itertools import permutations

    return [list(order) for order in permutations(range(count))]
