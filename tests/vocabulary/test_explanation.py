from __future__ import annotations

import pytest

from facegen.types import PromptReading
from facegen.vocabulary.explanation import explain_prompt, explain_reading
from facegen.vocabulary.words import CELEBA


@pytest.mark.parametrize(
    ("prompt", "words", "outcomes"),
    [
        ("smiling", "smiling", ["Smiling: yes"]),
        ("no hat or glasses", "no glasses", ["Eyeglasses: no, by 'no'"]),
        ("no hair", "no hair", ["Bald: yes, by 'no'"]),
        (
            "very pretty",
            "pretty",
            ["Attractive: yes", "'very' changes nothing: a label is there or not"],
        ),
        ("zorp", "zorp", ["left out: not a known word"]),
        ("red hair", "red hair", ["left out: known, but no label here stands for it"]),
        ("hardly smiling", "hardly smiling", ["left out: 'hardly' may turn the sense"]),
        ("hat removed", "hat removed", ["left out: 'removed' may turn the sense"]),
        ("no round hat", "no round hat", ["left out: 'round' is not known, and 'no' goes with it"]),
        ("no sunglasses", "no sunglasses", ["left out: has no single opposite"]),
        ("an old brick wall", "old", ["left out: said of 'brick wall'"]),
    ],
)
def test_each_phrase_says_what_it_asks_for_or_why_not(prompt: str, words: str, outcomes: list[str]) -> None:
    said = {each.text: each.outcomes for each in explain_prompt(prompt, CELEBA).said}
    assert said[words] == outcomes


def test_a_contradiction_is_told_with_the_phrases_up_to_it() -> None:
    explanation = explain_prompt("smiling, not smiling, bald", CELEBA)
    assert [each.text for each in explanation.said] == ["smiling", "not smiling"]
    assert "Smiling=1 and, by 'not smiling', for Smiling=0" in str(explanation.refusal)


def test_as_data_labels_are_one_and_nought_and_a_refusal_is_its_text() -> None:
    data = explain_prompt("smiling, no hat", CELEBA).to_json()
    assert [phrase["labels"] for phrase in data["phrases"]] == [{"Smiling": 1}, {"Wearing_Hat": 0}]
    assert data["refused"] is None
    assert "two ways" in explain_prompt("no hat and blond hair", CELEBA).to_json()["refused"]


def test_what_a_model_read_by_itself_is_told_as_it_read_it() -> None:
    reading = PromptReading({"a smile": 1.0}, (("a smile", "text"),), ("zorp",))
    explanation = explain_reading("a smile zorp", reading)
    assert [each.outcomes for each in explanation.said] == [
        ["taken as text"],
        ["left out: not understood by the model"],
    ]
    assert explanation.reading == PromptReading({"a smile": 1.0}, (("a smile", "a smile=1"),), ("zorp",))
