"""The keys of a recipe, read off the code without importing it: pydantic and torch would take a second."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
RECIPE = PACKAGE / "config" / "recipe.py"
FAMILIES = "FAMILY_OF_SECTION"  # of RECIPE
SAMPLER = ("sampling.sampler", "samplers")  # a section within a section
NO_OVERRIDES = {"preset", "about", "format_version"}


def recipe_keys(section: str) -> list[str]:
    """The dotted keys that `--set` takes in a section, those of every kind where it has kinds.

    Without a section: of the recipe itself, sections with a dot at their end.
    """
    families = {**_families(), SAMPLER[0]: SAMPLER[1]}
    if not section:
        own = {key.partition(".")[0] for key in _fields(RECIPE, "Recipe")} - NO_OVERRIDES
        return sorted(f"{key}." for key in own)
    keys = {key for key in _fields(RECIPE, "Recipe") if key.startswith(f"{section}.")}
    for name, family in families.items():
        if name == section or name.startswith(f"{section}."):
            for file in (PACKAGE / family).glob("[!_]*.py"):
                keys |= {f"{name}.{key}" for key in _fields(file, "Config")}
    return sorted(keys - NO_OVERRIDES - set(families))


def _fields(file: Path, name: str) -> Iterator[str]:
    """The fields of a model in a file, dotted where they are models themselves."""
    found = _class(file, name)
    if found is None:
        return
    place, body = found
    for one in body.body:
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            words = [part.id for part in ast.walk(one.annotation) if isinstance(part, ast.Name)]
            if words[0] == "list":  # which is given whole
                words = []
            inner = [key for word in words for key in _fields(place, word)]
            yield from (f"{one.target.id}.{key}" for key in inner) if inner else (one.target.id,)


def _class(file: Path, name: str) -> tuple[Path, ast.ClassDef] | None:
    """A class of ours by its name in a file, which may import it, and the file it stands in."""
    for one in _tree(file).body:
        if isinstance(one, ast.ClassDef) and one.name == name:
            return file, one
        if isinstance(one, ast.ImportFrom) and any(alias.name == name for alias in one.names):
            module = PACKAGE.parent.joinpath(*(one.module or "").split(".")).with_suffix(".py")
            return _class(module, name) if module.is_file() else None
    return None


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


def _families() -> dict[str, str]:
    """The family of each section that has kinds."""
    for one in _tree(RECIPE).body:
        if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == FAMILIES:
            return ast.literal_eval(one.value)
    return {}
