"""What is tried: the keys of a recipe that differ, their values, and the recipes that come of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from facegen.config.composition import parse_override
from facegen.config.recipe import Recipe
from facegen.errors import UsageError
from facegen.evaluation.compare import differing
from facegen.evaluation.loss import measured_by
from facegen.formats.history import flat
from facegen.formats.recipes import recipe_of
from facegen.sweeping.options import SweepOptions

PLANNED = ("validate_every_steps", "checkpoint_every_steps", "checkpoint_every_epochs", "preview_every_steps")
LOG_FROM = 10.0  # times the lower end that a range has to reach to be searched by its logarithm
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
EXAMPLE = {"--grid": "--grid optimizer.lr=1e-4,3e-4", "--search": "--search optimizer.lr=1e-5..1e-3"}


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both among them."""

    key: str
    low: float
    high: float

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def log(self) -> bool:
        """Whether its logarithm is what is even."""
        return 0 < LOG_FROM * self.low <= self.high

    @property
    def told(self) -> str:
        return f"{self.low:g} to {self.high:g}{', its logarithm even' if self.log else ''}"


@dataclass(frozen=True)
class Choice:
    """Some values of a key."""

    key: str
    values: tuple[Any, ...]

    @property
    def told(self) -> str:
        return ", ".join(map(value_text, self.values))


@dataclass(frozen=True)
class Candidate:
    """One of the runs; `settings` are the values of the keys that differ."""

    name: str
    settings: dict[str, Any]
    recipe: Recipe


class Base:
    """The recipe that all runs share, and `of`, which changes it."""

    def __init__(self, name: str, options: SweepOptions) -> None:
        data = () if options.data is None else (f"data.path={json.dumps(options.data)}",)
        self._name, self._shared, self._size = name, (*data, *options.overrides), options.size
        self.recipe = recipe_of(name, self._shared, size=options.size)

    def of(self, name: str, settings: Mapping[str, Any]) -> Candidate:
        """The run `name` with these settings.

        Raises:
            UsageError: an unknown key or a value it may not have.
        """
        changes = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
        recipe = recipe_of(self._name, [*self._shared, *changes], size=self._size)
        return Candidate(name, dict(settings), recipe)


def read_axes(options: SweepOptions) -> tuple[Range | Choice, ...]:
    """The keys that differ, with what they are tried with.

    Raises:
        UsageError: nothing to try, values that are missing or given twice, a key twice, a key that the sweep
            sets itself.
    """
    if options.search and not options.trials:
        raise UsageError(
            "--search needs to know how many runs it may choose.", hint="Say it by --trials, e.g. --trials 8."
        )
    if (options.grid and options.search) or (options.trials and not options.search):
        raise UsageError(
            "A grid is tried whole, a search has --trials: give --grid, or --search with --trials.",
            hint=f"{EXAMPLE['--grid']}; or {EXAMPLE['--search']} --trials 8",
        )
    if not (options.grid or options.search):
        raise UsageError("Nothing to try: no --grid and no --search.", hint=f"Example: {EXAMPLE['--grid']}")
    axes = [_axis("--grid", text) for text in options.grid]
    axes += [_axis("--search", text) for text in options.search]
    keys = [axis.key for axis in axes]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise UsageError(f"'{twice}' is given twice.", hint="All its values go into one option.")
    if own := next((key for key in keys if key.removeprefix("training.") in PLANNED), None):
        raise UsageError(f"'{own}' is set by the sweep, to fit the time.", hint="Leave it out.")
    return tuple(axes)


def _axis(option: str, text: str) -> Range | Choice:
    key, separator, listed = (part.strip() for part in text.partition("="))
    told = f"{option} takes KEY=VALUE,VALUE,..." + (" or KEY=LOW..HIGH" if option == "--search" else "")
    if not separator or not key:
        raise UsageError(f"{told}, not '{text}'.", hint=f"Example: {EXAMPLE[option]}")
    if found := re.fullmatch(rf"({NUMBER})\.\.({NUMBER})", listed):
        if option == "--grid":
            raise UsageError(
                f"--grid {text}: a grid has values, not a range.",
                hint=f"--grid {key}={found[1]},{found[2]}; or search it: --search {text} --trials 8",
            )
        low, high = (_value(key, end) for end in found.groups())
        if not low < high:
            raise UsageError(f"--search {text}: the range ends before it begins.")
        return Range(key, low, high)
    texts = re.split(r",(?![^\[{(]*[\]})])", listed)  # a list in brackets is one value
    if not listed or not all(part.strip() for part in texts):
        raise UsageError(f"{told}; '{text}' leaves a value out.", hint=f"Example: {EXAMPLE[option]}")
    values = tuple(_value(key, part.strip()) for part in texts)
    if len({json.dumps(value) for value in values}) < len(values):
        raise UsageError(f"{option} {text}: each value once.")
    return Choice(key, values)


def _value(key: str, text: str) -> Any:
    """A value as the recipe reads it."""
    nested: Any = parse_override(f"{key}={text}")
    for part in key.split("."):
        nested = nested[part]
    return nested


def combinations(base: Base, axes: Sequence[Range | Choice]) -> list[Candidate]:
    """Every combination of the values of a grid, named by what differs.

    Raises:
        UsageError: as `Base.of`, or the runs could not be compared.
    """
    choices = [axis for axis in axes if isinstance(axis, Choice)]
    keys = [axis.key for axis in choices]
    found = [
        base.of(name_of(dict(zip(keys, values, strict=True))), dict(zip(keys, values, strict=True)))
        for values in product(*(axis.values for axis in choices))
    ]
    check_comparable(found)
    return found


def extremes(base: Base, axes: Sequence[Range | Choice]) -> list[Candidate]:
    """Of a search the ends of each key by itself, so that what may not be is refused before it begins.

    Raises:
        UsageError: as `combinations`.
    """
    ends = [(axis.low, axis.high) if isinstance(axis, Range) else axis.values for axis in axes]
    first = {axis.key: values[0] for axis, values in zip(axes, ends, strict=True)}
    found = [
        base.of(name_of(changed), changed)
        for axis, values in zip(axes, ends, strict=True)
        for changed in ({**first, axis.key: value} for value in values)
    ]
    check_comparable(found)
    return found


def check_comparable(candidates: Iterable[Candidate]) -> None:
    """Refuse runs whose held-out losses measure different things.

    Raises:
        UsageError: names the key.
    """
    first, *others = (
        flat({**measured_by(one.recipe), "data.path": one.recipe.data.path}) for one in candidates
    )
    for other in others:
        if fields := differing(first, other):
            raise UsageError(
                f"The losses of runs that differ in {fields[0]} measure different things: nobody could say "
                "which is better.",
                hint="Try such keys one by one, and compare what they draw: facegen eval fid.",
            )


def name_of(settings: Mapping[str, Any], number: int | None = None) -> str:
    """The folder of a run: "lr=0.0001,batch_size=32", after its `number` where it has one."""
    parts = [f"{name}={_for_a_name(value_text(settings[key]))}" for key, name in short_keys(settings).items()]
    return ",".join(parts if number is None else [f"{number:02d}", *parts])


def _for_a_name(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", re.sub(r"""[\[\]{}()'" ]""", "", text))


def short_keys(keys: Iterable[str]) -> dict[str, str]:
    """By key its last word, or all of it where two end alike."""
    keys = list(keys)
    last = [key.rpartition(".")[2] for key in keys]
    return {key: word if last.count(word) == 1 else key for key, word in zip(keys, last, strict=True)}


def value_text(value: Any) -> str:
    """A value as people read it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
