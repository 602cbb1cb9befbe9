"""What training would take."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from facegen.config.composition import merge
from facegen.config.recipe import Recipe, parse_recipe
from facegen.forecast import Forecast, forecast, measured
from facegen.models.devices import resolve_device
from facegen.progress import SilentProgress
from facegen.training.compiling import worth_trying
from facegen.training.history import RunHistory
from facegen.training.train import TrainEstimate, estimate, train
from facegen.training.wiring import wire_task

FIRST_STEPS = 4
TRIED_STEPS = 2  # of what is done now and then: at the last of them, or after each
OFTEN = ("validate_every_steps", "preview_every_steps", "checkpoint_every_steps", "every_steps")


@dataclass(frozen=True)
class Expected:
    """A run before it is trained: its full recipe, and where that names data its sizes and what it takes as
    it is called in what was tried; whether that is so long that it will be `tried_compiled`."""

    recipe: Recipe
    sizes: TrainEstimate | None
    forecast: Forecast | None
    tried_compiled: bool = False

    def to_json(self) -> dict[str, Any]:
        sizes = {} if self.sizes is None else self.sizes.to_json()
        taken = {}
        if self.forecast is not None:
            taken = {**self.forecast.to_json(), "tried_compiled": self.tried_compiled}
        return {"recipe": self.recipe.model_dump(mode="json", exclude_none=True), **sizes, **taken}


def expected(recipe: Recipe, device: str = "auto") -> Expected:
    """Sizes of a new run of `recipe`, and time, memory and disk from trying; nothing stays of what was tried.

    Raises:
        FacegenError: as `train` does.
    """
    if recipe.data.path is None:
        return Expected(recipe, None, None)
    told = training_forecast(recipe, device)
    tries = recipe.training.compile == "auto" and worth_trying(
        resolve_device(device).type, told.count, told.seconds
    )
    return Expected(recipe, estimate(recipe), told, tries)


def training_forecast(recipe: Recipe, device: str = "auto") -> Forecast:
    """What a new run would take, from some steps, and from validating, drawing previews, scoring and saving
    once more each. It knows nothing of a stop before the last step.

    Raises:
        FacegenError: as `train` does.
    """
    steps = RunHistory(recipe, wire_task(recipe).task.num_examples).num_steps
    told = forecast(partial(_train_some, recipe, device, ""), "steps", steps, min(FIRST_STEPS, steps))
    seconds, memory_bytes, disk_bytes = told.seconds, told.memory_bytes, told.disk_bytes
    once = measured(partial(_train_some, recipe, device, ""), TRIED_STEPS)
    for what, due in _done_now_and_then(recipe, steps).items():
        if not due:
            continue
        more = measured(partial(_train_some, recipe, device, what), TRIED_STEPS)
        kept = min(len(due), recipe.training.keep_last) if what == "checkpoint_every_steps" else len(due)
        seconds += len(due) * max(0.0, more.seconds - once.seconds)
        memory_bytes = max(memory_bytes, more.memory_bytes)
        disk_bytes += kept * max(0, more.disk_bytes - once.disk_bytes)
    return replace(told, seconds=seconds, memory_bytes=memory_bytes, disk_bytes=disk_bytes)


def _done_now_and_then(recipe: Recipe, steps: int) -> dict[str, Collection[int]]:
    """The steps before the last after which each is done. What is validated is mostly better than before and
    saved with that, so those steps do not count among the checkpoints."""
    training = recipe.training
    validated = range(training.validate_every_steps, steps, training.validate_every_steps)
    drawn, saved = training.preview_every_steps or steps, training.checkpoint_every_steps
    if saved is None:
        examples = wire_task(recipe).task.num_examples * (training.checkpoint_every_epochs or 1)
        saved = max(1, examples // training.batch_size)
    scored = recipe.scoring.every_steps if recipe.scoring.scores else steps
    due = (validated, range(drawn, steps, drawn), {*range(saved, steps, saved)} - {*validated})
    return dict(zip(OFTEN, (*due, range(scored, steps, scored)), strict=True))


def _train_some(recipe: Recipe, device: str, often: str, count: int, out: Path) -> None:
    """Train `count` steps; what is done now and then is done at the last, and what is `often` after each."""
    every = {name: 1 if name == often else count for name in OFTEN}
    scoring = {"every_steps": every.pop("every_steps")}
    if recipe.training.preview_every_steps is None:
        del every["preview_every_steps"]
    changes = {"training": {"max_steps": count, **every}, "scoring": scoring}
    train(parse_recipe(merge(recipe.model_dump(mode="json"), changes)), out, False, SilentProgress(), device)
