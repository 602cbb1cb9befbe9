"""Prompts as people write them: what each is read as, and that none is turned round."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from facegen.errors import UsageError
from facegen.types import LabelSchema
from facegen.vocabulary.prompts import read_prompt
from facegen.vocabulary.words import CELEBA

UTKFACE = LabelSchema(
    ("Male",),
    {
        "race": ("White", "Black", "Asian", "Indian", "Others"),
        "age_group": ("Child", "Teenager", "Young_Adult", "Middle_Aged", "Senior"),
    },
)
SCHEMAS = {"celeba": CELEBA, "utkface": UTKFACE}
REFUSED = ("two ways", "contradiction")
TABLE = Path(__file__).with_name("prompts.tsv")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "prompts.md"


@dataclass(frozen=True)
class Row:
    """A line of the table, and what the reader makes of its prompt: labels, None where it refuses."""

    prompt: str
    state: str
    meant: str
    read: dict[str, float] | None
    left_out: tuple[str, ...]

    @property
    def meaning(self) -> dict[str, float]:
        if self.meant in REFUSED:
            return {}
        return {word[1:]: 1.0 if word[0] == "+" else -1.0 for word in self.meant.split()}

    @property
    def found(self) -> str:
        if self.read is None:
            return "refused"
        return "right" if self.read == self.meaning and self.meant not in REFUSED else "not understood"


def row_of(data: str, state: str, meant: str, prompt: str) -> Row:
    try:
        reading = read_prompt(prompt, SCHEMAS[data])
    except UsageError:
        return Row(prompt, state, meant, None, ())
    return Row(prompt, state, meant, reading.labels, reading.not_understood)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    lines = [line for line in TABLE.read_text("utf-8").splitlines() if not line.startswith("#")]
    return [row_of(**line) for line in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)]


def test_none_is_turned_round_nor_asks_for_more_than_was_meant(rows: list[Row]) -> None:
    for row in rows:
        wrong = {label for label, value in (row.read or {}).items() if row.meaning.get(label) != value}
        assert not wrong, (row.prompt, wrong)


def test_each_is_right_refused_or_in_part_left_out_as_the_table_says(rows: list[Row]) -> None:
    assert {row.prompt: row.found for row in rows} == {row.prompt: row.state for row in rows}


def test_the_meaningless_are_refused_and_no_others(rows: list[Row]) -> None:
    assert {row.prompt for row in rows if row.found == "refused"} == {
        row.prompt for row in rows if row.meant in REFUSED
    }


def test_the_meanings_name_labels_of_the_data(rows: list[Row]) -> None:
    known = {*CELEBA.attributes, *UTKFACE.attributes}
    known |= {f"{name}={value}" for name, values in UTKFACE.classes.items() for value in values}
    assert {label for row in rows for label in row.meaning} <= known


def test_the_page_tells_the_counts(rows: list[Row]) -> None:
    counts = Counter(row.found for row in rows)
    print(len(rows), dict(counts))
    page = PAGE.read_text("utf-8")
    told = re.findall(
        r"^\| (of|right|refused|not understood)(?: (\d+) prompts)?[^|]*\| (\d*) ?\|$", page, re.M
    )
    numbers = {name: int(total or count) for name, total, count in told}
    assert numbers == {"of": len(rows), **counts}
    assert len(rows) >= 200
