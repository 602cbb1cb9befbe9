"""`facegen runs`: the runs in a folder, and how each of them stands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from facegen.errors import DataError, UsageError
from facegen.formats.checkpoint_head import CHECKPOINTS
from facegen.formats.disk import size_of
from facegen.formats.files import read_json
from facegen.formats.reports import REPORT_FORMAT_VERSION
from facegen.formats.run import LOCK_FILE, METRICS_FILE, RECIPE_FILE
from facegen.housekeeping.state import Heads, State, is_run, read_heads, state_of

DEEPEST = 5  # folders within one another that are looked into
EVALUATIONS = "evaluations"


@dataclass(frozen=True)
class FoundRun:
    """One run. `step` is that of its newest checkpoint, or of its log while it runs; `num_steps` those of the
    whole run, None where unknown. `scores` are the newest of each name in its saved reports. `changed` is
    when it was last written to (UTC, ISO 8601)."""

    run: str
    state: State
    about: str
    task: str | None = None
    preset: str | None = None
    step: int = 0
    num_steps: int | None = None
    validation_loss: float | None = None
    best_checkpoint: str | None = None
    best_by: str | None = None
    best_value: float | None = None
    scores: dict[str, float] = field(default_factory=dict[str, float])
    size_bytes: int = 0
    changed: str = ""
    damage: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """The runs in `folder`: those that run first, then by when they were last written to, newest first."""

    folder: str
    runs: tuple[FoundRun, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def list_runs(folder: Path) -> Listing:
    """Every run in `folder`, or within five folders; links and hidden folders are not followed.

    Raises:
        UsageError: there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(
            f"'{folder}' is {'a file' if folder.exists() else 'not there'}; runs stand in folders.",
            hint="Name the folder that holds your runs, such as the one given to --run: facegen runs runs",
        )
    found = [tell(run) for run in runs_in(folder)]
    found.sort(key=lambda one: one.changed, reverse=True)
    return Listing(str(folder), tuple(sorted(found, key=lambda one: one.state != "running")))


def runs_in(folder: Path, depth: int = DEEPEST) -> Iterator[Path]:
    """Folders of runs: `folder` itself, otherwise those in it, in the order of their names."""
    if is_run(folder):
        yield folder
        return
    if depth == 0:
        return
    inner: list[str] = []
    with suppress(OSError):  # not ours to read
        inner = sorted(
            one.name
            for one in os.scandir(folder)
            if one.is_dir(follow_symlinks=False) and not one.name.startswith(".")
        )
    for name in inner:
        yield from runs_in(folder / name, depth - 1)


def tell(run: Path) -> FoundRun:
    """What there is to tell of one run."""
    heads = read_heads(run)
    (state, about), best = state_of(heads), heads.best
    ranking = None if best is None else heads.checkpoints[best].ranking
    reached = 0 if heads.newest is None else heads.newest.step
    return FoundRun(
        run=str(run),
        state=state,
        about=about,
        task=_word(heads.section("task").get("kind")),
        preset=_word(heads.recipe.get("preset")),
        step=max(reached, heads.logged_step) if state == "running" else reached,
        num_steps=heads.num_steps,
        validation_loss=_validation_loss(heads),
        best_checkpoint=None if best is None else best.name,
        best_by=None if ranking is None else ranking.name,
        best_value=None if ranking is None else ranking.value,
        scores=_scores(run),
        size_bytes=size_of(run),
        changed=_changed(run),
        damage=heads.damage,
    )


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _validation_loss(heads: Heads) -> float | None:
    """The newest one, from the log or, where that is far behind, from a checkpoint."""
    logged = [line.get("loss") for line in heads.log if line.get("group") == "validation"]
    saved = [head.metrics.get("loss") for head in heads.checkpoints.values()]
    return next((float(loss) for loss in reversed(saved + logged) if isinstance(loss, int | float)), None)


def _scores(run: Path) -> dict[str, float]:
    """By name the newest value in the run's reports; reports of another shape are passed over."""
    found: dict[str, float] = {}
    files = [(_time(file), file) for file in (run / EVALUATIONS).glob("*.json")]
    for _, file in sorted(files, reverse=True):
        with suppress(DataError, AttributeError, LookupError, TypeError, ValueError):
            for name, row in read_json(file, REPORT_FORMAT_VERSION)["scores"].items():
                found.setdefault(str(name), float(row["value"]))
    return found


def _changed(run: Path) -> str:
    names = (RECIPE_FILE, METRICS_FILE, CHECKPOINTS, LOCK_FILE, EVALUATIONS, ".")
    newest = max(_time(run / name) for name in names)
    return datetime.fromtimestamp(newest, UTC).isoformat(timespec="seconds")


def _time(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0
