"""How a run stands, by what its folder says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from facegen.config.documents import mapping_of, parse_json
from facegen.errors import FacegenError, StorageError
from facegen.formats.checkpoint_head import (
    CHECKPOINTS,
    INFO_FILE,
    CheckpointHead,
    best_of,
    list_checkpoints,
    read_head,
)
from facegen.formats.run import (
    ENVIRONMENT_FILE,
    LOCK_FILE,
    METRICS_FILE,
    RECIPE_FILE,
    RunDirectory,
    who_trains,
)

CAPSULES = "capsules"

State = Literal[
    "running", "finished", "stopped", "stopped early", "diverged", "damaged", "not begun", "unknown"
]


@dataclass(frozen=True)
class Heads:
    """What a run says without its weights: `recipe` (empty if unreadable), the readable `checkpoints`, oldest
    first, the newest lines of its log, and in `damage` what is unreadable, missing or half-written."""

    run: Path
    recipe: dict[str, Any] = field(default_factory=dict[str, Any])
    environment: dict[str, Any] = field(default_factory=dict[str, Any])
    checkpoints: dict[Path, CheckpointHead] = field(default_factory=dict[Path, CheckpointHead])
    log: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    damage: tuple[str, ...] = ()

    @property
    def newest(self) -> CheckpointHead | None:
        """The newest readable checkpoint."""
        return next(reversed(self.checkpoints.values()), None)

    @property
    def best(self) -> Path | None:
        """The checkpoint that the run draws with."""
        found = best_of((folder, head.ranking) for folder, head in self.checkpoints.items())
        return found or next(reversed(self.checkpoints), None)

    @property
    def logged_step(self) -> int:
        return max((line["step"] for line in self.log), default=0)

    @property
    def num_steps(self) -> int | None:
        """Steps of the whole run; None where it counts epochs and does not tell of how many images."""
        training = self.section("training")
        if isinstance(steps := training.get("max_steps"), int):
            return steps
        epochs, batch, head = training.get("epochs"), training.get("batch_size"), self.newest
        told = str(self.environment.get("num_examples", ""))
        if not (isinstance(epochs, int) and isinstance(batch, int) and batch > 0 and told.isdecimal()):
            return None
        step, seen = (0, 0) if head is None else (head.step, head.images_seen)
        return step + max(0, -(-(epochs * int(told) - seen) // batch))

    def section(self, name: str) -> Mapping[str, Any]:
        """A section of the recipe; empty where there is none."""
        return mapping_of(self.recipe.get(name)) or {}


def read_heads(run: Path) -> Heads:
    """Read all of that; what cannot be read is damage, never an error."""
    folder = RunDirectory(run)
    recipe: dict[str, Any] = {}
    damage: list[str] = []
    checkpoints: dict[Path, CheckpointHead] = {}
    log: list[dict[str, Any]] = []
    if folder.exists:
        try:
            recipe = folder.recipe_data()
        except FacegenError as error:
            damage.append(_first_line(error))
    elif list_checkpoints(run):
        damage.append(f"'{run}' has no {RECIPE_FILE}.")
    for checkpoint in list_checkpoints(run):
        try:
            checkpoints[checkpoint] = read_head(checkpoint)
        except StorageError as error:
            damage.append(_first_line(error))
    bare = sorted(set((run / CHECKPOINTS).glob("step-*")) - set(list_checkpoints(run)))
    damage += [f"'{folder}' has no {INFO_FILE}." for folder in bare]
    try:
        log = folder.newest_metrics()
    except OSError as error:
        damage.append(f"'{folder.metrics_file}' is unreadable: {error}.")
    return Heads(run, recipe, _environment(run), checkpoints, log, tuple(damage))


def state_of(heads: Heads) -> tuple[State, str]:
    """How the run stands, and more about that."""
    if (who := who_trains(heads.run)) is not None:
        reached = 0 if heads.newest is None else heads.newest.step
        return "running", f"{_of(max(reached, heads.logged_step), heads.num_steps)}, by {who}"
    return state_at_rest(heads)


def state_at_rest(heads: Heads) -> tuple[State, str]:
    """As `state_of`, of a run in which nobody trains but perhaps the caller."""
    reached, total = 0 if heads.newest is None else heads.newest.step, heads.num_steps
    if heads.damage:
        return "damaged", heads.damage[0]
    if not heads.recipe:
        return "not begun", "its start was killed before the recipe was written"
    capsules = sorted((heads.run / CAPSULES).glob("step-*"))
    if total is not None and reached >= total:
        return "finished", ""
    if capsules and _step(capsules[-1]) >= max(reached, heads.logged_step):
        return "diverged", f"after {_of(_step(capsules[-1]) + 1, total)}, checkpoint of step {reached:,}"
    if reason := _stop_reason(heads.log):
        return "stopped early", f"{_of(reached, total)}: {reason}"
    if not heads.checkpoints:
        return "not begun", "no step was saved"
    if total is None:
        return "unknown", f"step {reached:,}; it counts epochs and does not tell of how many images"
    return "stopped", _of(reached, total)


def _of(step: int, total: int | None) -> str:
    return f"step {step:,}" + ("" if total is None else f" of {total:,}")


def _stop_reason(log: Sequence[Mapping[str, Any]]) -> str | None:
    """Why a run that stopped by its scores did so; None where it went on since."""
    last = log[-1] if log else {}
    return str(last.get("reason", "no reason told")) if last.get("group") == "stop" else None


def _step(folder: Path) -> int:
    number = folder.name.removeprefix("step-")
    return int(number) if number.isdecimal() else -1


def _environment(run: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        return mapping_of(parse_json((run / ENVIRONMENT_FILE).read_text(encoding="utf-8"))) or {}
    return {}


def _first_line(error: FacegenError) -> str:
    return str(error.args[0]).partition("\n")[0]


def is_run(folder: Path) -> bool:
    """Whether facegen trains, trained or began to train in `folder`; a recipe alone is none."""
    beside = (ENVIRONMENT_FILE, LOCK_FILE, METRICS_FILE, CHECKPOINTS)
    traces = [name for name in (RECIPE_FILE, *beside) if (folder / name).exists()]
    begun = len(traces) > 1 and traces[0] in (RECIPE_FILE, ENVIRONMENT_FILE)
    return begun or bool(list_checkpoints(folder))
