"""The heat map of the control matrix."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from facegen.evaluation.control_heat_map import control_heat_map
from facegen.evaluation.steps import save_picture


def row(name: str, others: dict[str, float | None]) -> dict:
    leakage = {other: None if share is None else {"share": share} for other, share in others.items()}
    return {"attribute": name, "hit": {"share": 0.9}, "leakage": leakage}


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_it_grows_with_the_matrix_and_takes_cells_that_were_given_up(tmp_path: Path):
    rows = [
        row("Smiling", {"Male": 0.1, "Black_Hair": 0.0, "Bald": 0.2}),
        row("Black_Hair", {"Male": 0.0, "Smiling": 0.3, "Bald": None}),
    ]
    small = control_heat_map(rows, ("Male", "Smiling", "Black_Hair", "Bald"), "a")
    names = [f"Attribute_{index}" for index in range(40)]
    many = [row(name, {other: 0.05 for other in names if other != name}) for name in names]
    large = control_heat_map(many, names, "b")
    width, height = size(save_picture(tmp_path / "small.png", small))
    larger_width, larger_height = size(save_picture(tmp_path / "large.png", large))
    assert larger_width > 2 * width
    assert larger_height > 2 * height


def test_nothing_to_show_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="at least one row"):
        control_heat_map([], ("Male",), "")
