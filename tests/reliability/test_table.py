"""docs/reliability.md names every fault, and tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "reliability.md"
NUM_FAULTS = 48
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def test_every_fault_has_a_row_with_tests_that_exist() -> None:
    rows = [
        line.split(" | ") for line in PAGE.read_text("utf-8").splitlines() if re.match(r"\| \d+ \|", line)
    ]
    assert [int(row[0].strip("| ")) for row in rows] == list(range(1, NUM_FAULTS + 1))
    for row in rows:
        named = NAMED.findall(row[-1])
        assert named, row
        assert len(row) == 4, row
        assert row[-1].count("`") == 2 * len(named), row  # nothing but tests
        for file, test in named:
            assert test in functions_of(TESTS / file), f"{file}::{test}"


def functions_of(file: Path) -> set[str]:
    return {
        node.name for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)
    }
