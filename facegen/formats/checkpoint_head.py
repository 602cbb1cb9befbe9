"""What a checkpoint says about itself, read without its weights and without torch.

A run's checkpoints stand in `RUN/checkpoints/step-00010000/`; `facegen.formats.checkpoint` tells their files.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from facegen.config.documents import mapping_of, parse_json
from facegen.config.recipe import BY_LOSS
from facegen.errors import DataError, StorageError
from facegen.formats.plain import from_plain

CHECKPOINT_FORMAT_VERSION = 1
CHECKPOINTS = "checkpoints"
INFO_FILE = "checkpoint.json"


@dataclass(frozen=True)
class Ranking:
    """The number that decides which checkpoint is best."""

    name: str
    value: float
    better: Literal["lower", "higher"]

    def beats(self, other: Ranking | None) -> bool:
        """Whether it is finite and better; any finite number beats none."""
        if not math.isfinite(self.value):
            return False
        return other is None or (
            self.value < other.value if self.better == "lower" else self.value > other.value
        )


@dataclass(frozen=True)
class CheckpointHead:
    """The fields of `checkpoint.json` that tell where training stood and how good it was."""

    step: int
    images_seen: int
    recipe: dict[str, Any]
    metrics: dict[str, Any] = field(default_factory=dict[str, Any])
    scores: dict[str, float] = field(default_factory=dict[str, float])
    chosen: Ranking | None = None
    files: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def ranking(self) -> Ranking | None:
        """See `deciding`."""
        return deciding(self.recipe, self.metrics, self.chosen)


def loss_ranking(metrics: Mapping[str, Any]) -> Ranking | None:
    """The loss of a validation; None if it has none."""
    loss = metrics.get("loss")
    return Ranking("loss", float(loss), "lower") if isinstance(loss, int | float) else None


def deciding(recipe: Mapping[str, Any], metrics: Mapping[str, Any], chosen: Ranking | None) -> Ranking | None:
    """The finite number that decides whether a checkpoint is best; None if it was not measured.

    It is the loss in `metrics`, unless the recipe names a score for that, which is then `chosen`.
    """
    section = mapping_of(recipe.get("scoring")) or {}  # older runs have none
    found = loss_ranking(metrics) if section.get("best_by", BY_LOSS) == BY_LOSS else chosen
    return found if found is not None and math.isfinite(found.value) else None


def checkpoint_name(step: int) -> str:
    """Folder name of a step's checkpoint, e.g. `step-00010000`."""
    return f"step-{step:08d}"


def list_checkpoints(run: Path) -> list[Path]:
    """Checkpoint folders of a run, oldest first; half-written ones are not among them."""
    return sorted(info.parent for info in (run / CHECKPOINTS).glob(f"step-*/{INFO_FILE}"))


def read_info(folder: Path) -> dict[str, Any]:
    """All of a checkpoint's `checkpoint.json`, as plain data.

    Raises:
        OSError, ValueError, AttributeError: it is unreadable.
        StorageError: it is of an unknown format version.
    """
    file = folder / INFO_FILE
    data = parse_json(file.read_text(encoding="utf-8"))
    version = data.get("format_version")
    if version != CHECKPOINT_FORMAT_VERSION:
        raise StorageError(
            f"'{file}' has format version {version}; this facegen reads {CHECKPOINT_FORMAT_VERSION}."
        )
    return data


def read_head(folder: Path) -> CheckpointHead:
    """What the checkpoint in `folder` says of itself.

    Raises:
        StorageError: `checkpoint.json` is unreadable or of an unknown format version, or a file that it names
            is not there.
    """
    try:
        head = from_plain(CheckpointHead, read_info(folder), folder / INFO_FILE)
    except (OSError, ValueError, AttributeError, DataError) as error:
        raise StorageError(f"Checkpoint file '{folder / INFO_FILE}' is corrupt: {error!r}.") from error
    for name in head.files:
        if not (folder / name).is_file():
            raise StorageError(f"Checkpoint file '{folder / name}' is missing.")
    return head


def best_of(rankings: Iterable[tuple[Path, Ranking | None]]) -> Path | None:
    """The checkpoint whose number is best, of several equal ones the first; None where none was measured."""
    best: tuple[Path, Ranking] | None = None
    for folder, ranking in rankings:
        if ranking is not None and ranking.beats(best and best[1]):
            best = folder, ranking
    return None if best is None else best[0]


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint; killed on the way, it never looks like a broken one."""
    hidden = folder.with_name(f".{folder.name}.old")
    folder.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def list_leftovers(run: Path) -> list[Path]:
    """Hidden folders beside the checkpoints: of killed saves, or set aside. Nothing reads them."""
    return sorted((run / CHECKPOINTS).glob(".step-*"))


def clean_leftovers(run: Path) -> list[str]:
    """Remove what killed saves left behind; returns the names. Only for the holder of the run's lock."""
    leftovers = list_leftovers(run)
    for folder in leftovers:
        shutil.rmtree(folder, ignore_errors=True)
    return [folder.name for folder in leftovers]
