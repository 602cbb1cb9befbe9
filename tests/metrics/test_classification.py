"""Scores of a classifier: intervals that hold what they promise, and undefined scores as None."""

from __future__ import annotations

import pytest
import torch

from facegen.metrics.classification import Config, auc_interval, build
from facegen.nn.multilabel_scores import area_under_roc


def faces(count: int, generator: torch.Generator, share: float = 0.2, distance: float = 1.5):
    yes = torch.rand(count, generator=generator) < share
    return distance * yes.double() + torch.randn(count, generator=generator).double(), yes


def test_the_interval_of_the_auc_holds_the_truth_in_95_of_100_draws():
    generator = torch.Generator().manual_seed(0)
    truth = float(torch.special.ndtr(torch.tensor(1.5 / 2**0.5)))
    held = 0
    for _ in range(1000):
        low, high = auc_interval(*faces(150, generator))
        held += low <= truth <= high
    assert 930 <= held <= 975


def test_the_interval_of_the_balanced_accuracy_holds_the_truth_in_95_of_100_draws():
    generator = torch.Generator().manual_seed(1)
    truth = float(torch.special.ndtr(torch.tensor(0.75)))
    held = 0
    for _ in range(1000):
        scores, yes = faces(150, generator)
        metric = build(Config(), labels=("x",))
        metric.update((scores - 0.75).float()[:, None], torch.rand(150, 1), yes.float()[:, None])
        low, high = metric.compute()["x"]["balanced_accuracy_interval"]
        held += low <= truth <= high
    assert 935 <= held <= 985


@pytest.mark.parametrize("flipped", [False, True])
def test_a_perfect_ranking_of_few_faces_is_not_certain(flipped: bool):
    scores, yes = torch.tensor([0.1, 0.2, 0.3, 0.8, 0.9]).double(), torch.tensor([0, 0, 0, 1, 1]).bool()
    low, high = auc_interval(-scores if flipped else scores, yes)
    assert (low, high) != (1.0, 1.0)
    assert low <= area_under_roc(-scores if flipped else scores, yes) <= high


def test_unknown_labels_and_single_values_are_not_scored():
    metric = build(Config(), labels=("known", "always", "unknown"))
    targets = torch.tensor([[1.0, 1.0, torch.nan], [0.0, 1.0, torch.nan], [torch.nan, 1.0, torch.nan]])
    metric.update(torch.ones(3, 3), torch.full((3, 3), 0.9), targets)
    scores = metric.compute()
    assert scores["known"]["num_known"] == 2
    assert scores["always"]["auc"] is None
    assert scores["always"]["balanced_accuracy_interval"] is None
    assert scores["unknown"]["calibration_error"] is None
