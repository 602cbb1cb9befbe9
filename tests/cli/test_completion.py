"""Shell completion knows the names and costs nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.command_lines import all_commands

from facegen.cli.app import COMMANDS
from facegen.cli.completion import (
    attribute_names,
    attribute_requests,
    dataset_kinds,
    preset_names,
    recipe_overrides,
    run_folders,
    sampler_kinds,
)
from facegen.cli.recipe_keys import NO_OVERRIDES, recipe_keys
from facegen.config import composition
from facegen.config.kinds import kinds_of
from facegen.config.schema import recipe_schema
from facegen.vocabulary.words import ATTRIBUTE_WORDS


def test_completed_names_are_the_ones_the_library_knows() -> None:
    assert [kind.replace("-", "_") for kind in dataset_kinds()] == kinds_of("datasets")
    assert sampler_kinds() == kinds_of("samplers")
    assert preset_names() == composition.preset_names()
    assert attribute_names() == sorted({*ATTRIBUTE_WORDS, "Male"})


def test_the_attribute_being_typed_is_completed_and_the_others_stay() -> None:
    assert attribute_requests("Smiling=1,eyeg") == ["Smiling=1,Eyeglasses="]
    assert "Smiling=" in attribute_requests("Smi")


def test_bash_completion_offers_subcommands_presets_and_keys() -> None:
    def complete(line: str) -> list[str]:
        environment = {
            **os.environ,
            "_FACEGEN_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split(" ")) - 1),
        }
        code = "from facegen.cli.app import main; main()"
        result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        return result.stdout.split()

    assert complete("facegen tr") == ["train"]
    assert complete("facegen train") == ["train"]
    assert complete("facegen eval attr") == ["attributes"]
    assert len(complete("facegen ")) == len(COMMANDS)
    assert "avatars" in complete("facegen train --preset ava")
    assert "avatars" in complete('facegen -- "train" --preset ava')
    assert complete("facegen train --set training.b") == ["training.batch_size="]


def test_keys_of_recipes_are_those_that_the_schema_knows() -> None:
    sections = [key for key in recipe_keys("") if key != "task."]
    assert {"training.", "denoiser.", "sampling.", "task."} <= set(recipe_keys(""))
    known = _keys_of(recipe_schema())
    completed = {key for section in [*sections, "task."] for key in recipe_keys(section.rstrip("."))}
    assert {
        "training.batch_size",
        "data.augmentation.flip",
        "sampling.sampler.kind",
        "denoiser.kind",
    } <= completed
    assert completed == known


def _keys_of(schema: dict[str, Any]) -> set[str]:
    """Dotted keys of a recipe's schema, of every kind; of lists and open mappings the name alone."""

    def leaves(one: dict[str, Any]) -> set[str]:
        if "$ref" in one:
            return leaves(schema["$defs"][one["$ref"].removeprefix("#/$defs/")])
        ways = [inner for way in one.get("anyOf", ()) for inner in [leaves(way)] if inner]
        if ways:
            return set().union(*ways)
        found: set[str] = set()
        for name, inner in one.get("properties", {}).items():
            deeper = leaves(inner)
            found |= {f"{name}.{key}" for key in deeper} or {name}
        return found

    recipe = {**schema, "properties": {k: v for k, v in schema["properties"].items() if k != "smoke"}}
    return {key for key in leaves(recipe) if key not in NO_OVERRIDES}


def test_completion_imports_nothing_heavy() -> None:
    code = """if True:
        import sys
        from facegen.cli.completion import COMPLETIONS
        for complete in COMPLETIONS.values():
            complete("denoiser.p")
        print([name for name in ("torch", "numpy", "pandas", "yaml", "pydantic") if name in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_key_is_completed_section_by_section() -> None:
    assert recipe_overrides("tr") == [f"{key}=" for key in recipe_keys("training")]
    assert recipe_overrides("training.b") == ["training.batch_size="]
    assert recipe_overrides("optimizer.l") == ["optimizer.lr=", "optimizer.lr_schedule="]
    assert "denoiser." in recipe_overrides("d")
    assert recipe_overrides("nowhere.x") == []


def test_runs_are_completed_by_their_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for run in ("runs/one", "runs/two", "family/model/run", "too/deep/to/see"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "recipe.yaml").touch()
    (tmp_path / "runs" / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run_folders("") == ["family/model/run", "runs/one", "runs/two", "box"]
    assert run_folders("ru") == ["runs/one", "runs/two"]
    assert run_folders("runs/t") == ["runs/two"]
    assert run_folders(f"{tmp_path}/runs/o") == [f"{tmp_path}/runs/one"]
    assert run_folders("too/") == ["too/deep/to/see"]
    assert run_folders("bo") == ["box"]
    assert run_folders("nowhere/") == []


@pytest.mark.parametrize("words", sorted(all_commands()))
def test_whatever_names_a_run_is_completed(words: str) -> None:
    for one in all_commands()[words].params:
        told = (getattr(one, "help", "") or "").casefold()
        names_one = one.name in ("run", "runs", "subject", "subjects", "classifier") or " run," in told
        if names_one and (words, one.name) != ("demo", "run"):
            assert one._custom_shell_complete is not None, f"{words}: {one.name}"
