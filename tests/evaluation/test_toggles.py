"""Pairs of requests that differ in one attribute, and in what it rules out."""

from __future__ import annotations

import torch

from facegen.evaluation.toggles import Toggle, toggle_requests
from facegen.vocabulary.conflicts import hiders_of, rivals_of

NAMES = ("Smiling", "Black_Hair", "Brown_Hair", "Wearing_Hat", "Beard", "Mustache")


def toggle(rows: list[list[int]], name: str, num_pairs: int | None = None) -> Toggle:
    return toggle_requests(torch.tensor(rows, dtype=torch.int8), NAMES, name, num_pairs or len(rows))


def test_an_attribute_without_rivals_is_the_only_difference():
    pair = toggle([[-1, 1, -1, -1, 0, 0], [-1, -1, -1, 1, 1, 1]], "Smiling")
    assert pair.off.tolist() == [[-1, 1, -1, -1, 0, 0], [-1, -1, -1, 1, 1, 1]]
    assert pair.on.tolist() == [[1, 1, -1, -1, 0, 0], [1, -1, -1, 1, 1, 1]]
    assert pair.gave_way == {}


def test_the_other_hair_colour_gives_way():
    pair = toggle([[1, -1, 1, -1, -1, -1]], "Black_Hair")
    assert pair.off.tolist() == [[1, -1, 1, -1, -1, -1]]
    assert pair.on.tolist() == [[1, 1, -1, -1, -1, -1]]
    assert pair.gave_way == {"Brown_Hair": 1}


def test_a_hat_covers_the_hair_and_hair_is_not_toggled_under_hats():
    rows = [[-1, -1, -1, 1, -1, -1], [-1, 1, -1, -1, -1, -1]]
    hat = toggle(rows, "Wearing_Hat")
    assert hat.off.tolist() == [rows[1], rows[1]], "the first has a hat already"
    assert hat.on.tolist() == [[-1, -1, -1, 1, -1, -1]] * 2
    brown = toggle(rows, "Brown_Hair")
    assert brown.off.tolist() == [rows[1], rows[1]], "under the first one's hat no hair can be seen"


def test_a_beard_brings_its_mustache_and_no_mustache_means_no_beard():
    assert toggle([[-1, 1, -1, -1, -1, -1]], "Beard").on.tolist() == [[-1, 1, -1, -1, 1, 1]]
    bearded = toggle([[-1, 1, -1, -1, 1, 1]], "Mustache")
    assert bearded.off.tolist() == [[-1, 1, -1, -1, -1, -1]], "everybody has one, so it is asked away"
    assert bearded.on.tolist() == [[-1, 1, -1, -1, -1, 1]]


def test_rows_are_those_of_real_people_without_it_and_come_again_when_they_run_out():
    rows = [[1, 1, -1, -1, -1, -1], [-1, -1, 1, -1, -1, -1], [1, -1, -1, -1, -1, -1]]
    pair = toggle(rows, "Smiling", 4)
    assert pair.off.tolist() == [rows[1]] * 4
    assert toggle(rows, "Beard", 4).off.tolist() == [*rows, rows[0]]


def test_open_requests_stay_open():
    pair = toggle([[0] * 6], "Black_Hair", 2)
    assert pair.off.tolist() == [[0, -1, 0, 0, 0, 0]] * 2
    assert pair.on.tolist() == [[0, 1, 0, 0, 0, 0]] * 2


def test_the_rows_that_were_given_are_left_as_they_are():
    base = torch.tensor([[1, -1, 1, -1, -1, -1]], dtype=torch.int8)
    toggle_requests(base, NAMES, "Smiling", 1)
    toggle_requests(base, NAMES, "Black_Hair", 1)
    assert base.tolist() == [[1, -1, 1, -1, -1, -1]]


def test_rivalry_is_mutual_and_only_what_words_rule_out():
    assert "Bald" in rivals_of("Bangs")
    assert "Bangs" in rivals_of("Bald")
    assert rivals_of("Wearing_Lipstick") == frozenset()
    assert rivals_of("Male") == frozenset(), (
        "that men wear no lipstick in a data set is what is to be found out"
    )
    assert "Wearing_Hat" in hiders_of("Long_Hair")
    assert hiders_of("Smiling") == ()
