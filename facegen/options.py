"""What the command line is told about a field of a dataclass of options, where the field stands.

Each room's options are dataclasses in its `options.py`, which imports nothing heavy; `facegen.cli.command`
makes command line options of every field that carries an `Option`:

    steps: Annotated[int | None, Option("Sampler steps.", "Sampling", min=1)] = None
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any, Literal

HARDWARE = "Hardware"  # panel of the help
Completed = Literal[
    "attributes", "dataset kinds", "feature networks", "presets", "recipe keys", "recipes", "runs", "samplers"
]


@dataclass(frozen=True)
class Option:
    """`help` and bounds of a field, which is `--field-name` unless `names` says otherwise.

    The help may name values of other fields: "left out: {default_samples:,}". `shown_default` is told where
    the default is found out later. What no command line can hold is asked for as `asked_as` and made of that
    by `read`, which raises a `UsageError` for what it cannot read. `alone` is the value of an option that is
    given without one, at the end of the line or before another option.
    """

    help: str
    panel: str | None = None
    _: KW_ONLY
    names: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    metavar: str | None = None
    shown_default: str | None = None
    completes: Completed | None = None
    read: Callable[[Any], Any] | None = None
    alone: str | None = None
    asked_as: Any = str


def terms(text: str) -> tuple[str, ...]:
    """The parts of "a, b", empty ones too."""
    return tuple(part.strip() for part in text.split(","))


def names(text: str) -> tuple[str, ...]:
    """The parts of "a, b," that are not empty."""
    return tuple(filter(None, terms(text)))


Device = Annotated[str, Option("auto, cpu, cuda, cuda:1, mps, xpu; auto takes the fastest.", HARDWARE)]
BatchSize = Annotated[int | None, Option("Images at once.", HARDWARE, min=1)]
