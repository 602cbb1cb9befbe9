"""What `facegen plot` is asked about: a run, a checkpoint, or the name of a preset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facegen.config.composition import compose, preset_names
from facegen.config.recipe import Recipe, parse_recipe
from facegen.errors import UsageError, did_you_mean
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.far import near
from facegen.formats.run import RunDirectory


@dataclass(frozen=True)
class Subject:
    """A recipe, what to call it, and the `folder` of its run or checkpoint (None of a preset)."""

    name: str
    recipe: Recipe
    folder: Path | None


def subject_of(words: str) -> Subject:
    """The run or checkpoint in the folder `words`, else the preset of that name.

    Raises:
        UsageError: neither.
        MissingModelError, StorageError: the folder has no recipe, or it cannot be read.
    """
    folder = near(words)
    if folder.exists():
        run = RunDirectory(folder)
        recipe = run.recipe() if run.exists else parse_recipe(load_checkpoint(folder).info.recipe)
        return Subject(folder.resolve().name, recipe, folder)
    if words in preset_names():
        return Subject(words, compose(words), None)
    raise UsageError(
        f"'{words}' is neither a run nor a preset.{did_you_mean(words, preset_names())}",
        hint="'facegen config list' has the presets.",
    )
