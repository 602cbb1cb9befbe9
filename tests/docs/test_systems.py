"""The table of what five systems do: every line is shown by a test that exists or a command that parses."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from support.command_lines import parse_command_line

from facegen.config.composition import preset_names

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "systems" / "README.md"
SYSTEMS = ("S1", "S2", "S3", "S4", "S5")


def rows() -> list[tuple[str, str, str]]:
    """(system, what it does, what shows it) of every row."""
    cells = [
        [cell.strip() for cell in line.strip("|\n ").split(" | ")]
        for line in TABLE.read_text("utf-8").splitlines()
        if re.match(r"\| S\d \|", line)
    ]
    assert all(len(row) == 3 for row in cells), [row for row in cells if len(row) != 3]
    return [(row[0], row[1], row[2]) for row in cells]


@cache
def names_of_tests(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row[0]}: {row[1][:60]}")
def test_every_line_is_shown_by_a_test_or_a_command_that_exists(row: tuple[str, str, str]) -> None:
    shown = re.findall(r"`([^`]+)`", row[2])
    assert shown, f"nothing shows '{row[1]}'"
    for proof in shown:
        if proof.startswith("facegen "):
            parse_command_line(proof)
            continue
        file, _, name = proof.partition("::")
        assert (ROOT / "tests" / file).is_file(), f"tests/{file} does not exist"
        assert name in names_of_tests(ROOT / "tests" / file), f"tests/{file} has no test '{name}'"


def test_all_five_systems_are_there_with_a_page_and_presets() -> None:
    assert {row[0] for row in rows()} == set(SYSTEMS)
    text = TABLE.read_text("utf-8")
    named = set(re.findall(r"preset `([\w-]+)`", text))
    assert named >= {
        "attribute-ldm",
        "vae-gan",
        "vector-diffusion",
        "pixel-class",
        "latent-vector",
        "text-ldm",
    }
    assert named <= set(preset_names())
