'''Commands from functions: what a function takes, dataclasses of options field by field, becomes its options.

    @command(print_score)
    def fid(run: Run, options: DistributionOptions, progress: Progress) -> Score:
        """The first paragraph is what lists of commands show.

        Further ones follow, and at the end examples, which are real command lines of 76 characters at most.

            facegen fid runs/celeba
        """
        from facegen.evaluation.distribution import evaluate

        return evaluate(run, options, progress)

`--allow-outside-code` comes unless the command opens no models, `--quiet` with a parameter `progress`,
`--json` with the function that prints the result for people, whose further parameters are options too.
Options begin as the default of a parameter such as `options` has them, otherwise as their dataclass.
Annotations for typer itself, such as its `Argument`, stay as they are.
'''

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, is_dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.core import TyperCommand
from typer.models import OptionInfo

from facegen.cli.completion import COMPLETIONS
from facegen.errors import UsageError
from facegen.options import HARDWARE, Option
from facegen.processes import World, joined, launched_size
from facegen.watch import watched as watching

TALK = "Output"  # panel of the help
ALONE = "values_alone"  # of a command: by option, what it means without a value
OUTSIDE = "allow_outside_code"
MAY_BE_BOX = ("run", "runs", "subject", "a", "b")  # arguments that name a run
WRITTEN = ("out", "run")  # options, not arguments, that name what a command writes
INNER = "__"  # between the names of a dataclass in a field and of its own field
Quiet = Annotated[bool, Option("Say nothing but warnings and errors.", TALK, names=("--quiet", "-q"))]
Json = Annotated[bool, Option("Print the result as JSON on stdout.", TALK, names=("--json",))]
Outside = Annotated[
    bool, Option("Import the code outside facegen that a run or checkpoint names, if you trust it.", HARDWARE)
]


class _Command(TyperCommand):
    """A command whose options may be given without their value where they have one for that."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        alone: dict[str, str] = getattr(self.callback, ALONE, {})
        given: list[str] = []
        for word, following in zip(args, [*args, "-"][1:], strict=True):
            given.append(word)
            if word in alone and following.startswith("-"):
                given.append(alone[word])
        return super().parse_args(ctx, given)


@dataclass(frozen=True)
class Group:
    """Subcommands that follow the word `name`; the first example of each is one of the group's."""

    name: str
    about: str
    commands: tuple[Callable[..., None], ...]


def command(
    show: Callable[..., None] | None = None,
    *,
    opens_models: bool = True,
    many: bool = False,
    watched: bool = True,
) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Makes of a function what typer takes; `show` prints its result if there is one and no `--json`.

    One that `opens_models` also takes `--allow-outside-code`. Where a launcher started several processes, one
    made for `many` shares the work among them, and any other is refused. Here they watch one another, unless
    the command sees to that itself.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., None]:
        taken = _parameters(function)
        shown = [] if show is None else _parameters(show, skipped=1)

        @wraps(function)
        def run(**given: Any) -> None:
            if many:
                _tell_of_idle_gpus(given)
            with _processes(run, many=many) as world, _outside_code(allowed=given.get(OUTSIDE, False)):
                quiet = given.get("quiet", False) or not world.is_first
                with watching(world, f"at '{name_of(run)}'") if watched else nullcontext():
                    given = world.together(lambda: _all_local(given, written, quiet=quiet))
                    result = function(**{one.name: _argument(one, given, world) for one in taken})
                world.wait()  # none ends before all are done: the first may hold what they meet at
            if show is None or result is None or not world.is_first:
                return
            if given["as_json"]:
                from facegen.cli.results import print_json

                print_json(result)
            else:
                show(result, **{one.name: given[one.name] for one in shown})
            if refusal := getattr(result, "refusal", None):  # told as data first
                raise refusal

        run.__dict__[ALONE] = {
            f"--{one.name}": told.alone for one in taken if (told := _told(one.annotation)) and told.alone
        }
        asked = [option for one in (*taken, *shown) for option in _options(one)]
        if show is not None:
            asked.append(_option("as_json", Json, False))
        if opens_models:
            asked.append(_option(OUTSIDE, Outside, False))
        written = {one.name for one in asked if _is_written(one)}
        asked.sort(key=lambda one: one.name == "quiet")  # comes last in its panel
        run.__dict__["__signature__"] = inspect.Signature(asked)
        run.__annotations__ = {one.name: one.annotation for one in asked}
        return run

    return decorate


def _is_written(asked: inspect.Parameter) -> bool:
    """Whether a parameter names what the command writes."""
    kinds = get_args(asked.annotation)[1:]
    is_option = any(isinstance(kind, OptionInfo) for kind in kinds)
    return is_option and asked.name.rpartition(INNER)[2] in WRITTEN


def _all_local(given: dict[str, Any], written: set[str], *, quiet: bool) -> dict[str, Any]:
    def local(name: str, value: Any) -> Any:
        may_be_box = name not in written and name.rpartition(INNER)[2] in MAY_BE_BOX
        return _local(value, written=name in written, may_be_box=may_be_box, quiet=quiet)

    return {name: local(name, value) for name, value in given.items()}


def _local(value: Any, *, written: bool, may_be_box: bool, quiet: bool) -> Any:
    """The local folder for each far one (`s3://...`) that a command reads, and where it `may_be_box` for the
    model in the box; others as they are.

    Raises:
        UsageError: the command would write there.
    """
    if isinstance(value, list | tuple):
        return type(value)(_local(one, written=written, may_be_box=may_be_box, quiet=quiet) for one in value)
    if not isinstance(value, Path) or not (":" in str(value) or (may_be_box and str(value) == "box")):
        return value
    from facegen.cli.console import make_progress
    from facegen.formats.far import near
    from facegen.formats.far_store import is_far, spelled

    if written and is_far(value):
        raise UsageError(
            f"'{spelled(value)}' is on a far store, and what commands write needs a local folder.",
            hint="Copy it there when it is done. A run's checkpoints are copied by: facegen train --upload",
        )
    return near(value, make_progress(quiet=quiet))


def _processes(one: Callable[..., None], *, many: bool) -> AbstractContextManager[World]:
    if not many and (size := launched_size()) > 1:
        raise UsageError(
            f"'facegen {name_of(one)}' works in one process, and a launcher started {size}.",
            hint="Start it without the launcher. Several can train, encode, sample, eval and prepare.",
        )
    return joined()


def _tell_of_idle_gpus(given: dict[str, Any]) -> None:
    if given.get("device") in ("auto", "cuda") and not given.get("quiet"):
        from facegen.models.devices import idle_gpus

        if told := idle_gpus(sys.argv[1:]):
            print(told, file=sys.stderr)


def _outside_code(*, allowed: bool) -> AbstractContextManager[None]:
    if not allowed:
        return nullcontext()
    from facegen.config.kinds import outside_code_allowed

    return outside_code_allowed()


def add(app: typer.Typer, one: Callable[..., None] | Group) -> None:
    """Give `app` a command or a group of them."""
    if not isinstance(one, Group):
        app.command(name_of(one), cls=_Command, **help_texts(one.__doc__ or ""))(one)
        return
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
    for inner in one.commands:
        add(group, inner)
    examples = [read_docstring(inner.__doc__ or "")[1][0] for inner in one.commands]
    doc = "\n\n".join([inspect.cleandoc(one.about), "\n".join(examples)])
    app.add_typer(group, name=one.name, **help_texts(doc))


def name_of(one: Callable[..., None] | Group) -> str:
    """The word of a group, or of a command: its function's name with dashes."""
    return one.name if isinstance(one, Group) else one.__name__.strip("_").replace("_", "-")


def help_texts(doc: str) -> dict[str, Any]:
    """`help` and `short_help` of what a docstring says."""
    about, examples = ([_literal(text) for text in part] for part in read_docstring(doc))
    lines = "\n".join(f"  [cyan]{example}[/]" for example in examples)
    return {"help": "\n\n".join([*about, f"\b\n[bold]Examples[/]\n{lines}"]), "short_help": about[0]}


def _literal(text: str) -> str:
    """`text` with what rich would take for markup, such as the extra in 'facegen[web]', shown as it is."""
    return re.sub(r"\[(?=[a-z#/@])", r"\[", text)


def read_docstring(doc: str) -> tuple[list[str], list[str]]:
    """Paragraphs and examples of a docstring; python -OO leaves neither."""
    *about, examples = inspect.cleandoc(doc or "?\n\n?").split("\n\n")
    return [text.replace("\n", " ") for text in about], [line.strip() for line in examples.splitlines()]


def _parameters(function: Callable[..., Any], skipped: int = 0) -> list[inspect.Parameter]:
    """What a function takes, annotations evaluated but for that of `progress`, which would import torch."""
    found = list(inspect.signature(function).parameters.values())[skipped:]
    names = {"Progress": None, **function.__globals__}
    return [one.replace(annotation=eval(one.annotation, names)) for one in found]


def _options(taken: inspect.Parameter) -> Iterator[inspect.Parameter]:
    """The options that make up one parameter of a command's function."""
    if taken.name == "progress":
        yield _option("quiet", Quiet, False)
    elif is_dataclass(taken.annotation):
        yield from _fields(_start(taken))
    else:
        yield _option(taken.name, taken.annotation, taken.default)


def _argument(taken: inspect.Parameter, given: dict[str, Any], world: World) -> Any:
    """What a command's function gets for one parameter; only the first of several processes talks."""
    if taken.name == "progress":
        if not world.is_first:
            from facegen.progress import SilentProgress

            return SilentProgress()
        from facegen.cli.console import make_progress

        return make_progress(quiet=given["quiet"])
    if is_dataclass(taken.annotation):
        return _filled(_start(taken), given)
    return _value(taken.annotation, given[taken.name], taken.default)


def _start(taken: inspect.Parameter) -> Any:
    return taken.annotation() if taken.default is taken.empty else taken.default


def _fields(start: Any, within: str = "") -> Iterator[inspect.Parameter]:
    """The options that make up a dataclass and those in its fields, with the defaults that `start` has."""
    for name, annotation in _annotations(type(start)).items():
        value = getattr(start, name)
        if is_dataclass(value):
            yield from _fields(value, f"{within}{name}{INNER}")
        elif _told(annotation) is not None:
            yield _option(within + name, annotation, value, **vars(start))


def _filled(start: Any, given: dict[str, Any], within: str = "") -> Any:
    """`start` with the values given for its options."""
    changes = {}
    for name, annotation in _annotations(type(start)).items():
        value = getattr(start, name)
        if is_dataclass(value):
            changes[name] = _filled(value, given, f"{within}{name}{INNER}")
        elif _told(annotation) is not None:
            changes[name] = _value(annotation, given[within + name], value)
    return replace(start, **changes)


def _annotations(options: type) -> dict[str, Any]:
    """The fields of a dataclass, its own before those of its bases."""
    found: dict[str, Any] = {}
    for owner in options.__mro__:
        for name, annotation in inspect.get_annotations(owner, eval_str=True).items():
            found.setdefault(name, annotation)
    return found


def _told(annotation: Any) -> Option | None:
    """The `Option` in an annotation."""
    return next((one for one in getattr(annotation, "__metadata__", ()) if isinstance(one, Option)), None)


def _option(name: str, annotation: Any, default: Any, /, **around: Any) -> inspect.Parameter:
    """A parameter as typer reads it; `around` are the values that its help may name."""
    told = _told(annotation)
    if told is not None:
        kind, default = _asked_as(annotation, told, default)
        annotation = Annotated[
            kind,
            typer.Option(
                *(told.names or ["--" + name.rpartition(INNER)[2].replace("_", "-")]),
                help=_literal(told.help.format(**around)),
                min=told.min,
                max=told.max,
                metavar=told.metavar,
                rich_help_panel=told.panel,
                autocompletion=COMPLETIONS[told.completes] if told.completes else None,
                show_default=told.shown_default or True,
            ),
        ]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _asked_as(annotation: Any, told: Option, default: Any) -> tuple[Any, Any]:
    """Type and default on the command line: of tuples lists, of what is read its text."""
    kind = get_args(annotation)[0]
    if told.read is not None:
        return told.asked_as | None, ",".join(map(str, default)) if default else None
    if get_origin(kind) is tuple and get_args(kind)[-1] is ...:
        return list[get_args(kind)[0]] | None, None
    return kind, default


def _value(annotation: Any, given: Any, default: Any) -> Any:
    """What was given on the command line as the field's type."""
    told = _told(annotation)
    if told is None:
        return given
    if given is None:
        return default
    if told.read is not None:
        return told.read(given)
    return tuple(given) if isinstance(given, list) else given
