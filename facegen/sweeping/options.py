"""What is tried, how long it may take, and with what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from facegen.options import Device, Option

TRIED = "What is tried"  # panels of the help
RECIPE = "Recipe"
TIME = "Time"


@dataclass(frozen=True)
class SweepOptions:
    """A `grid` is tried whole; of a `search` as many `trials` as are asked for, chosen by Optuna."""

    grid: Annotated[
        tuple[str, ...],
        Option(
            "Values of a recipe key, e.g. optimizer.lr=1e-4,3e-4; repeatable: every combination.",
            TRIED,
            completes="recipe keys",
        ),
    ] = ()
    search: Annotated[
        tuple[str, ...],
        Option(
            "Range or values of a key, e.g. optimizer.lr=1e-5..1e-3; repeatable; with --trials.",
            TRIED,
            completes="recipe keys",
        ),
    ] = ()
    trials: Annotated[int | None, Option("Runs that a search chooses.", TRIED, min=1)] = None
    overrides: Annotated[
        tuple[str, ...],
        Option(
            "A recipe key that is the same for all runs; repeatable.",
            RECIPE,
            names=("--set",),
            completes="recipe keys",
        ),
    ] = ()
    data: Annotated[
        str | None, Option("Latents (generator) or data set (the others).", RECIPE, metavar="<path>")
    ] = None
    size: Annotated[
        Literal["full", "smoke"], Option("smoke: as short as facegen train takes it.", RECIPE)
    ] = "full"
    minutes: Annotated[float, Option("Time for all of it, on this machine.", TIME, min=0.1)] = 60.0
    at_once: Annotated[int, Option("Runs side by side.", TIME, min=1)] = 1
    early_stop: Annotated[
        bool,
        Option(
            "Stop a run whose held-out loss is worse than the median of the finished ones was there.",
            TIME,
            names=("--early-stop/--no-early-stop",),
        ),
    ] = True
    device: Device = "auto"
