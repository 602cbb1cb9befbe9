"""Recipes by name: a preset, a YAML file, or the folder of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from facegen.config.composition import compose, load_yaml, preset_names, preset_text
from facegen.config.recipe import Recipe
from facegen.config.schema import SCHEMA_FILE, recipe_schema
from facegen.errors import UsageError, did_you_mean
from facegen.formats.files import atomic_write, saving
from facegen.formats.history import flat
from facegen.formats.run import RECIPE_FILE, RunDirectory

SAID_OF_IT = ("preset", "about", "format_version")  # keys that train nothing


@dataclass(frozen=True)
class Preset:
    """What `facegen config list` tells of a preset; `measured` is what its head says of that, in one line."""

    name: str
    task: str
    about: str
    measured: str | None


@dataclass(frozen=True)
class Checked:
    """A recipe that holds: what it trains, in a few words."""

    name: str
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"name": self.name, **self.facts}


@dataclass(frozen=True)
class Written:
    """A recipe's YAML, with its comments."""

    text: str

    def to_json(self) -> dict[str, Any]:
        """The recipe itself.

        Raises:
            UsageError: not YAML, or no mapping.
        """
        return load_yaml(self.text, "The recipe")


@dataclass(frozen=True)
class Difference:
    """A dotted key of two recipes and its two values, None where one has no such key."""

    key: str
    a: Any
    b: Any


def presets() -> list[Preset]:
    """Every preset that ships with facegen, by name."""
    found: list[Preset] = []
    for name in preset_names():
        text = preset_text(name)
        data = yaml.safe_load(text)
        found.append(Preset(name, data["task"]["kind"], data.get("about", ""), _measured(text)))
    return found


def _measured(text: str) -> str | None:
    """The paragraph "Measured ..." of the comments that a preset opens with."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[2:])
    for paragraph in "\n".join(lines).split("\n\n"):
        if paragraph.startswith(("Measured", "Not measured")):
            rows = paragraph.replace("\n ", "; ").split()  # a table's rows are indented
            return " ".join(rows).replace(":;", ":")
    return None


def text_of(name: str, *, resolved: bool) -> str:
    """The YAML of a recipe: as it is written, or `resolved` with every default filled in.

    Raises:
        UsageError: no such preset, file or run; resolved also: it does not hold.
    """
    if resolved:
        text: str = yaml.safe_dump(  # pyright: ignore[reportUnknownMemberType]
            recipe_of(name).model_dump(mode="json"), sort_keys=False, allow_unicode=True
        )
        return text
    file = _file_of(name)
    if file is None:
        return preset_text(name)
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"'{file}' cannot be read: {error}.") from error


def recipe_of(name: str, overrides: Sequence[str] = (), *, size: str = "full") -> Recipe:
    """The recipe called `name`, with every default filled in.

    Raises:
        UsageError: no such preset, file or run, or it does not hold; says what is allowed.
        StorageError: a run's recipe is unreadable.
    """
    if Path(name).is_dir():
        recipe = RunDirectory(Path(name)).recipe()
        return recipe if not overrides else compose(None, Path(name) / RECIPE_FILE, list(overrides))
    file = _file_of(name)
    return compose(name if file is None else None, file, list(overrides), size=size)


def _file_of(name: str) -> Path | None:
    """The file that is meant; None for a preset.

    Raises:
        UsageError: neither a preset, nor a file, nor a run.
    """
    path = Path(name)
    if path.is_dir():
        if not RunDirectory(path).exists:
            raise UsageError(
                f"'{name}' is not a run: it has no '{RECIPE_FILE}'.",
                hint="Name a preset, a YAML file or a run.",
            )
        return path / RECIPE_FILE
    known = preset_names()
    if name in known:
        return None
    if not path.is_file():
        raise UsageError(
            f"'{name}' is no preset, no file and no run.{did_you_mean(name, known)}",
            hint="'facegen config list' has the presets.",
        )
    return path


def copy(name: str, out: Path) -> None:
    """Write a preset to the new file `out`, below a line that names its schema, which is put beside it.

    Raises:
        UsageError: no such preset, or something stands at `out`.
        StorageError: the disk is full or may not be written.
    """
    text = preset_text(name)
    if out.exists():
        raise UsageError(f"'{out}' exists already.", hint="Name a file that is not there yet.")
    with saving(f"'{out}'"):
        atomic_write(out.with_name(SCHEMA_FILE), json.dumps(recipe_schema(), indent=2) + "\n")
        atomic_write(out, f"# yaml-language-server: $schema={SCHEMA_FILE}\n{text}")


def validate(name: str, overrides: Sequence[str] = ()) -> Checked:
    """Check a recipe without data, at its full and at its smoke size.

    Raises:
        UsageError: what does not hold, and what is allowed.
    """
    recipe = recipe_of(name, overrides)
    recipe_of(name, overrides, size="smoke")
    kinds = {
        section: getattr(recipe, section)["kind"]
        for section in ("task", "denoiser", "conditioner", "autoencoder")
        if getattr(recipe, section) is not None
    }
    length = recipe.training.max_steps or f"{recipe.training.epochs} epochs"
    return Checked(name, {**kinds, "steps": length, "batch_size": recipe.training.batch_size})


def difference(a: str, b: str) -> list[Difference]:
    """The keys in which recipes `a` and `b` differ, defaults filled in, in the recipe's order.

    Raises:
        UsageError: as `recipe_of`.
    """
    first, second = (
        {
            key: value
            for key, value in recipe_of(name).model_dump(mode="json").items()
            if key not in SAID_OF_IT
        }
        for name in (a, b)
    )
    of_a, of_b = flat(first), flat(second)
    keys = dict.fromkeys([*of_a, *of_b])
    return [Difference(key, of_a.get(key), of_b.get(key)) for key in keys if of_a.get(key) != of_b.get(key)]
