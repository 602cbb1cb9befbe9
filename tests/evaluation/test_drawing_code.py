"""Which code a kept feature of a drawn face depends on."""

from __future__ import annotations

import pytest

from facegen.evaluation.judged_features import drawing_code


@pytest.mark.parametrize(
    "file", ["types.py", "formats/images.py", "config/recipe.py", "models/generator.py", "samplers/ddim.py"]
)
def test_what_draws_a_face_or_is_imported_for_it_counts(file: str) -> None:
    assert any(path.as_posix().endswith(f"facegen/{file}") for path in drawing_code())


@pytest.mark.parametrize("room", ["cli", "report", "evaluation", "metrics", "plotting", "training"])
def test_rooms_that_do_not_draw_do_not_count(room: str) -> None:
    assert not [path for path in drawing_code() if f"/facegen/{room}/" in path.as_posix()]
