"""Finding a kind by its name: the file name is the kind, a dotted name is an outside class.

`load_kind("denoisers", "unet")` is the module `facegen.denoisers.unet`; `load_kind("denoisers",
"mylab.nets:MyNet")` is the object `MyNet` of `mylab.nets`. Either offers `Config` and `build`.

An outside kind is code. It is imported where a person named it (`trust`) or allows what files name
(`outside_code_allowed`, or FACEGEN_ALLOW_OUTSIDE_CODE=1 in the environment), never because a checkpoint, a
run or a data set names it.
"""

from __future__ import annotations

import ast
import inspect
import os
import pkgutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise
from textwrap import dedent
from typing import Any, Protocol, cast

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema

from facegen.config.documents import mapping_of
from facegen.errors import UsageError, did_you_mean

ALLOW_OUTSIDE_CODE = "FACEGEN_ALLOW_OUTSIDE_CODE"  # of the environment, so that child processes have it too
_trusted: set[str] = set()


class Section(BaseModel):
    """Base of every part of a recipe: frozen, and unknown keys are refused.

    What stands in quotes below a field is what schema and documentation say of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> dict[str, Any]:
        return _described(cls, handler, handler(core_schema))

    def values(self) -> dict[str, Any]:
        """The options as arguments for what is built from them."""
        return dict(self)


class KindConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Base of every kind's `Config`, as strict as a `Section`."""

    kind: str

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> dict[str, Any]:
        return _described(cls, handler, handler(core_schema))

    def values(self) -> dict[str, Any]:
        """The options as arguments for what is built from them: all fields but `kind`."""
        return {name: value for name, value in self if name != "kind"}


def _described(
    model: type[BaseModel], handler: GetJsonSchemaHandler, schema: dict[str, Any]
) -> dict[str, Any]:
    """The schema with what stands below each field; pydantic's own `use_attribute_docstrings` would read the
    sources at every start."""
    try:
        (written,) = ast.parse(dedent(inspect.getsource(model))).body
    except (OSError, TypeError):  # made without a file
        return schema
    properties = handler.resolve_ref_schema(schema).get("properties", {})
    for field, below in pairwise(cast(ast.ClassDef, written).body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                properties[name]["description"] = words
            case _:
                pass
    return schema


class Kind(Protocol):
    """What a kind module (or outside object) offers."""

    Config: type[KindConfig]

    def build(self, config: Any, *args: Any, **kwargs: Any) -> Any: ...


def kinds_of(family: str) -> list[str]:
    """Names of the kinds that ship in `facegen/<family>/`, sorted: files that are not helpers.

    A helper file, shared by several kinds of a family, starts with an underscore.
    """
    package = import_module(f"facegen.{family}")
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    return sorted(name for name in names if not name.startswith("_"))


def trust(named: Any) -> None:
    """Let the outside kinds be imported that a person named: a kind, or the sections of a recipe."""
    if isinstance(named, Mapping):
        for value in named.values():
            trust(value)
    elif isinstance(named, list):
        for value in cast(list[Any], named):
            trust(value)
    elif isinstance(named, str) and ":" in named:
        _trusted.add(named)


@contextmanager
def outside_code_allowed() -> Generator[None]:
    """Within it, outside kinds that files name are imported; they stay trusted in this process."""
    before = os.environ.get(ALLOW_OUTSIDE_CODE)
    os.environ[ALLOW_OUTSIDE_CODE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[ALLOW_OUTSIDE_CODE]
        else:
            os.environ[ALLOW_OUTSIDE_CODE] = before


def load_kind(family: str, kind: str) -> Kind:
    """Return the module or object that implements `kind`.

    Raises:
        UsageError: no such kind, it lacks `Config` or `build`, or it is outside code that nobody allowed.
    """
    module_name, _, attribute = kind.partition(":")
    if attribute:
        _check_trusted(family, kind)
        try:
            found = getattr(import_module(module_name), attribute)
        except (ImportError, AttributeError) as error:
            raise UsageError(f"{family} kind '{kind}' could not be imported: {error}.") from error
    else:
        known = kinds_of(family)
        if kind.replace("-", "_") not in known:
            names = [spelt(family, name) for name in known]
            raise UsageError(
                f"Unknown {family} kind '{kind}'.{did_you_mean(kind, names)}",
                hint=f"Known kinds: {', '.join(names)}; or 'package.module:Name' for your own.",
            )
        found = import_module(f"facegen.{family}.{kind.replace('-', '_')}")
    if not hasattr(found, "Config") or not hasattr(found, "build"):
        raise UsageError(f"{family} kind '{kind}' must offer 'Config' and 'build'.")
    return cast(Kind, found)


def _check_trusted(family: str, kind: str) -> None:
    """Refuse what only a file names; what is allowed once stays so, as it has run."""
    if os.environ.get(ALLOW_OUTSIDE_CODE) == "1":
        _trusted.add(kind)
    if kind not in _trusted:
        raise UsageError(
            f"The {family} kind '{kind}' is code outside facegen, and a file asks for it, not you.",
            hint="If you trust where the file comes from, repeat the command with --allow-outside-code, or "
            f"set {ALLOW_OUTSIDE_CODE}=1 for all; from Python: facegen.load(RUN, allow_outside_code=True).",
        )


def spelt(family: str, kind: str) -> str:
    """A kind's name as its recipes spell it: a shipped one is found with - and _ alike."""
    own = load_kind(family, kind).Config.model_fields["kind"].default
    return own if isinstance(own, str) and own.replace("-", "_") == kind.replace("-", "_") else kind


def kind_config(family: str, data: Any) -> Any:
    """Validate one `{kind: ..., ...}` section into that kind's `Config`.

    Raises:
        UsageError: missing or unknown kind, unknown key, wrong type or range.
    """
    data = mapping_of(data)
    if data is None or "kind" not in data:
        raise UsageError(f"The section for {family} needs a 'kind'; one of {', '.join(kinds_of(family))}.")
    name = str(data["kind"])
    kind = load_kind(family, name)
    try:
        return kind.Config(**{**data, "kind": spelt(family, name)})
    except ValidationError as error:
        raise UsageError(explain(error, kind.Config, f"{family} '{data['kind']}'")) from error


def explain(error: ValidationError, model: type[BaseModel], where: str) -> str:
    """Say in a line each what pydantic found wrong, with the nearest known key."""
    lines = []
    for problem in error.errors():
        path = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = _fields_at(model, problem["loc"][:-1])
            nearest = did_you_mean(str(problem["loc"][-1]), known)
            lines.append(f"{where}: unknown key '{path}'.{nearest} Allowed: {', '.join(known)}.")
        else:
            lines.append(f"{where}: '{path}' = {problem.get('input')!r}: {problem['msg']}.")
    return "\n".join(lines)


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for part in path:
        field = model.model_fields.get(str(part))
        if (
            field is None
            or not isinstance(field.annotation, type)
            or not issubclass(field.annotation, BaseModel)
        ):
            return []
        model = field.annotation
    return list(model.model_fields)
