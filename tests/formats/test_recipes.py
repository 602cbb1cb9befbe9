from __future__ import annotations

from pathlib import Path

import pytest

from facegen.config.composition import compose, preset_names, preset_text
from facegen.config.schema import SCHEMA_FILE
from facegen.errors import UsageError
from facegen.formats.recipes import Written, copy, difference, presets, recipe_of, text_of, validate
from facegen.formats.run import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> str:
    folder = RunDirectory(tmp_path / "run")
    folder.path.mkdir()
    folder.start(compose("avatars", overrides=["optimizer.lr=3e-3"]))
    return str(folder.path)


def test_presets_tell_what_was_measured_with_the_tables() -> None:
    found = {one.name: one for one in presets()}
    assert list(found) == preset_names()
    told = found["celeba-attributes"].measured or ""
    assert told.startswith("Measured on 6,361 faces")
    assert "; Male 92.6 99.6 %; Smiling" in told
    assert (found["flow-dit-few"].measured or "").startswith("Not measured")


def test_a_copy_is_the_preset_below_its_schema_and_trains_the_same(tmp_path: Path) -> None:
    mine = tmp_path / "recipes" / "my.yaml"
    copy("avatars", mine)
    head, _, rest = mine.read_text("utf-8").partition("\n")
    assert head == f"# yaml-language-server: $schema={SCHEMA_FILE}"
    assert rest == preset_text("avatars")
    assert (mine.parent / SCHEMA_FILE).is_file()
    assert difference("avatars", str(mine)) == []
    with pytest.raises(UsageError, match="exists already"):
        copy("flow-dit", mine)


def test_a_run_is_named_by_its_folder(run: str) -> None:
    (changed,) = difference("avatars", run)
    assert (changed.key, changed.b) == ("optimizer.lr", 3e-3)
    assert recipe_of(run, ["optimizer.lr=1"]).optimizer.lr == 1
    assert Written(text_of(run, resolved=False)).to_json()["optimizer"]["lr"] == 3e-3
    with pytest.raises(UsageError, match=r"The recipe must be a mapping"):
        Written("- 1").to_json()


def test_a_resolved_recipe_has_every_key_and_is_the_same_recipe(tmp_path: Path) -> None:
    mine = tmp_path / "my.yaml"
    mine.write_text(text_of("avatars", resolved=True), "utf-8")
    assert "beta_start" in mine.read_text("utf-8")
    assert difference("avatars", str(mine)) == []


def test_both_sizes_are_checked(tmp_path: Path) -> None:
    assert validate("avatars").facts["denoiser"] == "dit"
    mine = tmp_path / "my.yaml"
    mine.write_text(preset_text("avatars").replace("smoke:", "smoke:\n  optimizer: {rate: 1}"), "utf-8")
    recipe_of(str(mine))
    with pytest.raises(UsageError, match="rate"):
        validate(str(mine))
