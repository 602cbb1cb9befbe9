"""One file of source text out of many: some definitions of facegen's, and all that they stand on.

Annotations are not followed beyond Python's and torch's types, as nobody evaluates them, and neither are
methods that only training or the reading of data and prompts calls. Names that two files give
to different things are told apart.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

OURS = "facegen."
LEFT_OUT = {  # methods and class variables
    *("inputs", "drop", "read", "reads", "inputs_from", "named_tokens", "asking"),
    *("encode", "loss", "squared_error", "draw_timesteps", "mix"),
}
SCOPES = (ast.FunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
NEEDLESS = "guard_torchvision"  # where diffusers was imported already
SPELLED = ("typing", "collections.abc", "torch")  # whose names in annotations are imported
Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class Place:
    """A definition: the module it stands in, and its name there."""

    module: str
    name: str


@dataclass
class _Module:
    lines: list[bytes]
    definitions: dict[str, Definition] = field(default_factory=dict[str, Definition])
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict[str, tuple[str, str | None]])


@cache
def _module(name: str) -> _Module:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    text = Path(spec.origin).read_text("utf-8")
    found = _Module(text.encode().split(b"\n"))
    for node in ast.parse(text).body:
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                found.definitions[node.name] = node
            case ast.Assign(targets=[ast.Name(id=target)]) | ast.AnnAssign(target=ast.Name(id=target)):
                found.definitions[target] = node
            case ast.Import():
                found.imports |= {one.asname or one.name: (one.name, None) for one in node.names}
            case ast.ImportFrom(module=str(source)):
                found.imports |= {one.asname or one.name: (source, one.name) for one in node.names}
            case _:
                pass
    return found


def assembled(roots: Mapping[str, Place], module: str, table: str) -> str:
    """The source of a file with everything in `module`, and with what `roots` names, put into its `table`."""
    found: dict[Place, None] = {}
    external: dict[str, tuple[str, str | None]] = {}
    places = {name: _resolved(place) for name, place in roots.items()}
    for place in (*places.values(), *(Place(module, name) for name in _module(module).definitions)):
        _gather(place, found, external)
    order = _in_order(found)
    names = _told_apart(order)
    parts = ["from __future__ import annotations\n", *_import_lines(external)]
    for number, place in enumerate(order):
        if number == 0 or order[number - 1].module != place.module:
            parts.append(f"\n# {place.module.replace('.', '/')}.py")
        parts.append(f"\n\n{_text(place, names)}")
    rows = "".join(f"    {name}={names[place]},\n" for name, place in places.items())
    return "\n".join((*parts, f"\n{table}.update(\n{rows})")) + "\n"


def _resolved(place: Place) -> Place:
    """Where a name that may be imported, or be another name for something, is really defined."""
    found = _module(place.module)
    node = found.definitions.get(place.name)
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
        return _resolved(Place(place.module, node.value.id))
    if node is None:
        source, name = found.imports[place.name]
        assert name is not None
        return _resolved(Place(source, name))
    return place


def _gather(place: Place, found: dict[Place, None], external: dict[str, tuple[str, str | None]]) -> None:
    """Put `place` and what it stands on into `found`, and imports from elsewhere into `external`."""
    if place in found:
        return
    found[place] = None
    module = _module(place.module)
    node = module.definitions[place.name]
    for name in _annotated(node):
        if module.imports.get(name, ("",))[0] in SPELLED:
            external[name] = module.imports[name]
    for name in _names(node):
        if _is_ours(name.id, module):
            _gather(_resolved(Place(place.module, name.id)), found, external)
        elif name.id in module.imports:
            external[name.id] = module.imports[name.id]
        else:
            assert hasattr(builtins, name.id), f"{name.id} of {place} is defined nowhere"


def _in_order(found: Iterable[Place]) -> list[Place]:
    """Modules after those that they import, and of each its definitions as they stand there."""
    wanted = {place.module for place in found}
    modules: dict[str, None] = {}

    def add(name: str) -> None:
        if name not in modules:
            for source, _ in _module(name).imports.values():
                if source in wanted:
                    add(source)
            modules[name] = None

    for name in sorted(wanted):
        add(name)
    ranks = list(modules)
    return sorted(
        found,
        key=lambda place: (
            ranks.index(place.module),
            _module(place.module).definitions[place.name].lineno,
        ),
    )


def _names(node: ast.AST, local: frozenset[str] = frozenset()) -> Iterator[ast.Name]:
    """Names that a definition uses of its module when it is run."""
    if isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Load) and node.id not in local:
            yield node
        return
    inner = local | _bound(node)
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_left_out(child, node):
                yield from _names(child, inner)


def _annotated(node: ast.AST) -> Iterator[str]:
    """Names in annotations."""
    for inner in ast.walk(node):
        for part in (getattr(inner, "annotation", None), getattr(inner, "returns", None)):
            if isinstance(part, ast.AST):
                yield from (one.id for one in ast.walk(part) if isinstance(one, ast.Name))


def _bound(node: ast.AST) -> set[str]:
    """Names that belong to a function or comprehension itself."""
    if not isinstance(node, SCOPES):
        return set()
    found: set[str] = set()
    for inner in ast.walk(node):
        match inner:
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                found.add(name)
            case ast.FunctionDef(name=name) if inner is not node:
                found.add(name)
            case ast.ImportFrom(names=names) | ast.Import(names=names):
                found |= {one.asname or one.name for one in names}
            case _:
                pass
    return found


def _is_left_out(node: ast.AST, parent: ast.AST) -> bool:
    match node:
        case ast.FunctionDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]):
            return isinstance(parent, ast.ClassDef) and name in LEFT_OUT
        case ast.Expr(value=ast.Call(func=ast.Name(id=name))):
            return name == NEEDLESS
        case _:
            return False


def _told_apart(order: Iterable[Place]) -> dict[Place, str]:
    """The names in the file: as they were, and with the module's where another has the same."""
    names: dict[Place, str] = {}
    for place in order:
        taken = place.name in names.values()
        names[place] = (
            f"{place.name}_of_{place.module.rpartition('.')[2].strip('_')}" if taken else place.name
        )
    return names


def _import_lines(external: Mapping[str, tuple[str, str | None]]) -> Iterator[str]:
    """Whole modules first; several names of one module on one line."""
    from_modules: dict[str, list[str]] = {}
    for name, (source, original) in sorted(external.items()):
        if original is None:
            yield f"import {source}" if source == name else f"import {source} as {name}"
        else:
            from_modules.setdefault(source, []).append(
                original if original == name else f"{original} as {name}"
            )
    for source, listed in sorted(from_modules.items()):
        yield f"from {source} import {', '.join(listed)}"


def _text(place: Place, names: Mapping[Place, str]) -> str:
    """A definition's own lines, without what is left out, its names as they are in the file."""
    module = _module(place.module)
    node = module.definitions[place.name]
    first, last = _first_line(node), node.end_lineno or node.lineno
    lines = dict(enumerate(module.lines[first - 1 : last], start=first))
    changed = [name for name in _names(node) if _is_ours(name.id, module)]
    for name in sorted(changed, key=lambda one: (one.lineno, one.col_offset), reverse=True):
        old, new = name.id.encode(), names[_resolved(Place(place.module, name.id))].encode()
        line = lines[name.lineno]
        lines[name.lineno] = line[: name.col_offset] + new + line[name.col_offset + len(old) :]
    gone = [(child, each) for each in ast.walk(node) for child in ast.iter_child_nodes(each)]
    for inner, parent in gone:
        if isinstance(inner, ast.stmt) and _is_left_out(inner, parent):
            for number in range(_first_line(inner), (inner.end_lineno or inner.lineno) + 1):
                lines.pop(number, None)
    text = b"\n".join(lines.values()).decode()
    return re.sub(rf"\b{place.name}\b", names[place], text, count=1)  # where it is defined


def _first_line(node: ast.stmt) -> int:
    return min(one.lineno for one in (node, *getattr(node, "decorator_list", ())))


def _is_ours(name: str, module: _Module) -> bool:
    return name in module.definitions or module.imports.get(name, ("", None))[0].startswith(OURS)
