"""What became of a run after its start: `RUN/history.jsonl`, one JSON object per event, oldest first.

An event is written before `recipe.yaml` is, and a recipe is read with every event's new values in place, so
that a process killed between the two leaves nothing that disagrees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from facegen.config.documents import parse_json
from facegen.errors import DataError, StorageError
from facegen.formats.files import atomic_write
from facegen.formats.plain import from_plain, plain

HISTORY_FILE = "history.jsonl"

AfterDecay = Literal["new-cycle", "last-rate"]


@dataclass(frozen=True)
class RunEvent:
    """Something that was done to a run after `step` steps: keys of its recipe changed, or how it began.

    `changes` are old and new value by dotted key. `after_decay` says how a learning rate goes on whose decay
    had ended. `started_from` tells whose weights the run began with.
    """

    step: int
    date: str  # UTC, ISO 8601
    command: list[str]
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict[str, tuple[Any, Any]])
    after_decay: AfterDecay | None = None
    started_from: dict[str, Any] | None = None


def read_history(run: Path) -> list[RunEvent]:
    """The events of a run, oldest first; none if nothing was ever changed.

    Raises:
        StorageError: the file is unreadable.
    """
    file = run / HISTORY_FILE
    if not file.is_file():
        return []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        return [from_plain(RunEvent, parse_json(line), file) for line in lines]
    except (OSError, ValueError, DataError) as error:
        raise StorageError(f"'{file}' is unreadable: {error}.") from error


def write_history(run: Path, events: Sequence[RunEvent]) -> None:
    """Replace the events of a run.

    Raises:
        StorageError: the disk is full or may not be written; the former events still stand.
    """
    atomic_write(run / HISTORY_FILE, "".join(json.dumps(plain(event)) + "\n" for event in events))


def with_changes(recipe: Mapping[str, Any], events: Sequence[RunEvent]) -> dict[str, Any]:
    """A recipe as plain data, with the new values of `events` in place."""
    return _with_values(recipe, {key: new for event in events for key, (_, new) in event.changes.items()})


def without_changes(recipe: Mapping[str, Any], events: Sequence[RunEvent]) -> dict[str, Any]:
    """A recipe as plain data, as it was before `events`."""
    before = {key: old for event in reversed(events) for key, (old, _) in event.changes.items()}
    return _with_values(recipe, before)


def flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict) and value:
            found |= flat(dict(value), f"{prefix}{key}.")  # pyright: ignore[reportUnknownArgumentType]
        else:
            found[prefix + key] = value
    return found


def _with_values(recipe: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    changed = deepcopy(dict(recipe))
    for path, value in values.items():
        *sections, key = path.split(".")
        section = changed
        for name in sections:
            if not isinstance(section.get(name, {}), dict):  # such as null, of a section that was left out
                section[name] = {}
            section = section.setdefault(name, {})
        section[key] = value
    return changed
