"""What a sweep knows of itself, `OUT/sweep.json`, so that the same command goes on where it stood.

OUT/
  sweep.json      what was asked for, the plan, how long each run trained, and why one ended early
  NAME/           a run, as `facegen train` makes it
  recipes/        what each run was started with
  logs/           what each run said
  study.journal   of a search: Optuna's own record
  index.html      the page
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facegen.errors import UsageError
from facegen.formats.files import read_json, write_json
from facegen.formats.plain import from_plain, plain

SWEEP_FORMAT_VERSION = 1
SWEEP_FILE = "sweep.json"


@dataclass(frozen=True)
class Timing:
    """How fast runs are that are alike in all but their optimizer: of starting, of a step, and of a check
    (held-out images judged, a checkpoint saved)."""

    start_seconds: float
    step_seconds: float
    check_seconds: float
    num_examples: int

    def seconds(self, steps: int, checks: int) -> float:
        return self.start_seconds + steps * self.step_seconds + checks * self.check_seconds


@dataclass
class RunRecord:
    """One run: its settings, the steps planned, the seconds it trained in all calls, why it ended before its
    last step, and why it failed."""

    settings: dict[str, Any]
    steps: int
    seconds: float = 0.0
    ended: str | None = None
    failed: str | None = None


@dataclass
class Record:
    """`command` is what may not change from call to call; `share_seconds` what each run may take, of which
    `checks` are made on the way; `seconds` of all calls."""

    command: dict[str, Any]
    seconds: float = 0.0
    share_seconds: float = 0.0
    checks: int = 0
    timings: dict[str, Timing] = field(default_factory=dict[str, Timing])
    runs: dict[str, RunRecord] = field(default_factory=dict[str, RunRecord])

    def save(self, out: Path) -> None:
        """Write it.

        Raises:
            StorageError: the disk is full or may not be written to.
        """
        write_json(out / SWEEP_FILE, {"format_version": SWEEP_FORMAT_VERSION, **plain(self)})


def opened_record(out: Path, command: dict[str, Any]) -> Record:
    """The record that stands in `out`, or a new one.

    Raises:
        UsageError: `out` is a file, holds something else, or a sweep that another command began.
    """
    held = [path.name for path in out.iterdir() if not path.name.startswith(".")] if out.is_dir() else []
    if out.is_file() or (held and SWEEP_FILE not in held):
        holds = f"holds something else, such as '{held[0]}'" if held else "is a file"
        raise UsageError(f"'{out}' {holds}.", hint="Take another folder.")
    if not held:
        return Record(command)
    record = from_plain(Record, read_json(out / SWEEP_FILE, SWEEP_FORMAT_VERSION), out / SWEEP_FILE)
    if other := [name for name, value in plain(command).items() if record.command.get(name) != value]:
        told = "; ".join(f"{name}: {record.command.get(name)}" for name in other)
        raise UsageError(
            f"The sweep in '{out}' was begun with other settings. {told}.",
            hint="Repeat that command to go on with it (--minutes, --trials and --at-once may differ), or "
            "take another folder.",
        )
    if not record.share_seconds:  # refused before anything was trained
        record.seconds = 0.0
    return record
