"""What the runs came to: each judged on the same held-out images and noise, and compared with the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

from facegen.errors import FacegenError, UsageError
from facegen.evaluation.compare import Difference, compare, reports_of
from facegen.evaluation.loss import evaluate_loss
from facegen.evaluation.options import LossOptions
from facegen.formats.plain import plain
from facegen.formats.reports import ScoreRow
from facegen.formats.run import RunDirectory
from facegen.housekeeping.state import read_heads, state_at_rest
from facegen.sweeping.record import RunRecord
from facegen.wording import number_text

FAILED, NOT_BEGUN = "failed", "not begun"


@dataclass(frozen=True)
class RunResult:
    """One run. `state` is that of `facegen runs`, or "failed", and `about` says why. `loss` is the held-out
    one of its newest checkpoint, `low` to `high` its 95 % interval (None where the task has none); `losses`
    those on its way and that one, by step. `difference` compares it with the best, B being this."""

    name: str
    run: Path
    settings: dict[str, Any]
    state: str
    about: str
    step: int
    num_steps: int
    seconds: float
    loss: float | None = None
    low: float | None = None
    high: float | None = None
    losses: dict[int, float] | None = None
    difference: Difference | None = None


@dataclass(frozen=True)
class SweepSummary:
    """What was tried, the best first; `seconds` of all calls. `best` is the name of the run with the lowest
    held-out loss, None where none has one."""

    out: Path
    page: Path
    recipe: str
    minutes: float
    seconds: float
    checks: int
    best: str | None
    runs: tuple[RunResult, ...]

    def to_json(self) -> dict[str, Any]:
        return plain(self)


def judge_runs(
    out: Path,
    records: Mapping[str, RunRecord],
    device: str,
    say: Callable[[str], None],
    look: Callable[[], None],
) -> tuple[RunResult, ...]:
    """Measure the loss of the newest checkpoint of each run, unless that was done; the best comes first.
    `look` is called before each.

    Raises:
        StorageError: the disk is full.
    """
    judged = list[RunResult]()
    for name, record in records.items():
        look()
        judged.append(_judged(out / name, record, device, say))
    judged.sort(key=lambda one: float("inf") if one.loss is None else one.loss)
    if not judged or judged[0].low is None:
        return tuple(judged)
    best, *others = judged
    return (best, *(_compared(best, one) for one in others))


def _judged(run: Path, record: RunRecord, device: str, say: Callable[[str], None]) -> RunResult:
    heads = read_heads(run)
    state, about = state_at_rest(heads) if run.is_dir() else (NOT_BEGUN, "")
    about = about.partition(": ")[2] if state == "stopped early" else about
    if record.failed is not None and state != "finished":
        state, about = FAILED, record.failed
    elif state in ("stopped", NOT_BEGUN) and record.ended is not None:
        about = record.ended
    newest = heads.newest
    row = None
    if newest is not None and state != FAILED:
        try:
            row = _loss_of(run, list(heads.checkpoints)[-1], newest.step, device)
        except UsageError:  # a task whose loss is no mean over images
            loss = newest.metrics.get("loss")
            row = None if loss is None or not isfinite(loss) else _Loss(float(loss), None, None)
        except FacegenError as error:
            say(f"{run.name}: its loss was not measured: {str(error).partition(chr(10))[0]}")
    checked = [one for one in RunDirectory(run).metrics() if one.get("group") == "validation"]
    losses = {int(one["step"]): float(one["loss"]) for one in checked if one.get("loss") is not None}
    step = 0 if newest is None else newest.step
    result = RunResult(
        run.name, run, record.settings, state, about, step, record.steps, round(record.seconds, 1)
    )
    if row is None:
        return replace(result, losses=losses)
    measured = {**losses, step: row.value}
    return replace(result, loss=row.value, low=row.low, high=row.high, losses=measured)


@dataclass(frozen=True)
class _Loss:
    value: float
    low: float | None
    high: float | None


def _loss_of(run: Path, checkpoint: Path, step: int, device: str) -> ScoreRow | _Loss:
    try:
        newest = reports_of(run, "loss")[0]
        if newest.step == step:
            return newest.scores["loss"]
    except FacegenError:
        pass  # none was made yet
    return evaluate_loss(checkpoint, LossOptions(device=device)).scores["loss"]


def _compared(best: RunResult, other: RunResult) -> RunResult:
    """`other` with its difference from the best, as `facegen compare BEST OTHER --score loss` has it."""
    if other.loss is None:
        return other
    (difference,) = compare(best.run, other.run, "loss").scores
    return replace(other, difference=difference)


def told_state(one: RunResult) -> str:
    """How a run stands, and why, in a line."""
    reached = one.state if one.state == "finished" else f"{one.state} at step {one.step:,}"
    reached = one.state if one.state == NOT_BEGUN else reached
    return f"{reached}: {one.about}" if one.about else reached


def told_best(summary: SweepSummary) -> str:
    """Which run is best, and which others may be as good."""
    if summary.best is None:
        return "No run has a held-out loss."
    best = summary.runs[0]
    surely = sum(1 for one in summary.runs if one.difference and one.difference.verdict == "A better")
    compared = sum(1 for one in summary.runs if one.difference)
    told = f"Lowest held-out loss: {best.name}, {number_text(best.loss or 0.0)}"
    if best.low is not None and best.high is not None:
        told += f" ({number_text(best.low)} to {number_text(best.high)})"
    if not compared:
        return f"{told}."
    return f"{told}; lower than {surely} of the {compared} others by more than the held-out images' chance."
