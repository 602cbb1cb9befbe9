"""Every example of docs/prompts.md is read as the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from facegen.errors import UsageError
from facegen.types import LabelSchema
from facegen.vocabulary.prompts import read_prompt
from facegen.vocabulary.words import CELEBA as CELEBA_LABELS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "prompts.md").read_text("utf-8")
ROWS = re.findall(r"^\| (`.*?) \| (.*?) \|$", PAGE, re.M)
EXAMPLES = [(prompt, outcome) for prompts, outcome in ROWS for prompt in re.findall("`(.*?)`", prompts)]
LABELS = LabelSchema(
    (*CELEBA_LABELS.attributes, "Red_Hair", "Dark_Skin", "Long_Hair"),
    {"age_group": ("Child", "Teenager", "Young_Adult", "Middle_Aged", "Senior")},
)


@pytest.mark.parametrize(("prompt", "outcome"), EXAMPLES)
def test_a_prompt_is_read_as_the_page_says(prompt: str, outcome: str) -> None:
    if outcome.startswith("refused"):
        with pytest.raises(UsageError, match="two ways"):
            read_prompt(prompt, LABELS)
        return
    reading = read_prompt(prompt, LABELS)
    values = [-value if label == "No_Beard" else value for label, value in reading.labels.items()]
    if outcome.startswith("left out"):
        assert (values, len(reading.not_understood)) == ([], 1)
        return
    assert reading.not_understood == ()
    if outcome.endswith("absent"):
        assert set(values) == {-1}
    elif outcome.startswith("the first absent"):
        assert values == [-1, 1]
    else:
        assert 1 in values


def test_the_page_has_examples_of_every_outcome() -> None:
    assert len(EXAMPLES) >= 20
    outcomes = [outcome for _, outcome in EXAMPLES]
    for beginning in (
        "refused",
        "left out",
        "the first absent",
        "all of the list absent",
        "absent",
        "an age",
    ):
        assert any(outcome.startswith(beginning) for outcome in outcomes), beginning
