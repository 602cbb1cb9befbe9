"""What code a cached result depends on: found by following imports, never by a list kept by hand."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import facegen

PACKAGE = Path(facegen.__file__).parent


def code_fingerprint(modules: Iterable[str], package: Path = PACKAGE) -> str:
    """sha256 of the source of `modules` and of all that they import of the `package`'s code, however deep.

    Tables (YAML) count with the modules they stand beside.
    Imports inside functions count, those for type checkers alone do not. Kinds are found by name as a program
    runs, which no import tells: pass their modules too (`modules_of`). Code from elsewhere counts where it is
    loaded, libraries do not.
    """
    digest = hashlib.sha256()
    for name, path in sorted(_closure(modules, package).items()):
        digest.update(name.encode())
        for file in (path, *sorted(path.parent.glob("*.yaml"))):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def modules_of(*things: Any) -> set[str]:
    """The modules that functions, classes or objects stand in, of objects also those of inherited classes."""
    return {each.__module__ for thing in things for each in (thing, *type(thing).__mro__)}


def _closure(modules: Iterable[str], package: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = _file_of(name, package)
        if path is None or name in found:
            continue
        found[name] = path
        waiting += [name.rpartition(".")[0], *_imports(path)]
    return found


def _file_of(name: str, package: Path) -> Path | None:
    """The source of a module of the package, or of a loaded one from elsewhere that is no library."""
    root, *parts = name.split(".")
    if root == package.name:
        stem = package.joinpath(*parts)
        return next(
            (path for path in (stem / "__init__.py", stem.with_suffix(".py")) if path.is_file()), None
        )
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None or "site-packages" in file or file.startswith(sys.base_prefix):
        return None
    return Path(file)


@cache
def _imports(path: Path) -> tuple[str, ...]:
    """Names that may be modules: `from a.b import c` may mean `a.b` and `a.b.c`."""
    return tuple(_imported(ast.parse(path.read_bytes())))


def _imported(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from _imported(child)
