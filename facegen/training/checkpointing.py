"""Which checkpoints of a run are kept, and finding the one to resume from."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from facegen.errors import StorageError
from facegen.formats.checkpoint import (
    Checkpoint,
    CheckpointInfo,
    Weights,
    checkpoint_name,
    list_checkpoints,
    load_checkpoint,
    resolve_checkpoint,
    save_checkpoint,
    validation_loss,
)
from facegen.formats.run import RunDirectory
from facegen.protocols import Progress


@dataclass(frozen=True)
class ModelCard:
    """What every checkpoint of a run says about itself beside its step: see `CheckpointInfo`.

    `autoencoder_folder` is linked into each checkpoint.
    """

    info: CheckpointInfo
    autoencoder_folder: Path | None = None


@dataclass
class CheckpointKeeper:
    """Saves checkpoints and keeps the last `keep_last` of them and the best one."""

    run: RunDirectory
    card: ModelCard
    keep_last: int
    _best_loss: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        losses = [validation_loss(folder) for folder in list_checkpoints(self.run.path)]
        self._best_loss = min((loss for loss in losses if loss is not None), default=None)

    def is_best(self, metrics: Mapping[str, Any]) -> bool:
        """Whether this validation is finite and beats every checkpoint that stands."""
        loss = float(metrics["loss"])
        return math.isfinite(loss) and (self._best_loss is None or loss < self._best_loss)

    def save(
        self,
        step: int,
        images_seen: int,
        metrics: dict[str, Any],
        weights: Mapping[Weights, Mapping[str, Tensor]],
        training_state: Mapping[str, Any],
    ) -> Checkpoint:
        """Write the checkpoint of `step`, then remove those no longer wanted."""
        info = replace(self.card.info, step=step, images_seen=images_seen, metrics=metrics)
        folder = self.run.checkpoint(checkpoint_name(step))
        saved = save_checkpoint(folder, info, weights, training_state, self.card.autoencoder_folder)
        if metrics and self.is_best(metrics):
            self._best_loss = float(metrics["loss"])
        self._remove_old()
        return saved

    def _remove_old(self) -> None:
        found = list_checkpoints(self.run.path)
        best = resolve_checkpoint(self.run.path, "best")
        for folder in found[: -self.keep_last]:
            if folder != best:
                hidden = folder.with_name(f".{folder.name}.old")  # so that it never looks like a broken one
                folder.rename(hidden)
                shutil.rmtree(hidden, ignore_errors=True)


def newest_whole_checkpoint(run: Path, progress: Progress) -> Checkpoint | None:
    """The newest checkpoint whose files all match their checksums; None if the run has none yet.

    A corrupt one is named and moved aside, and the one before is taken.

    Raises:
        StorageError: there are checkpoints, and all of them are corrupt.
    """
    found = list_checkpoints(run)
    for folder in reversed(found):
        try:
            checkpoint = load_checkpoint(folder)
            checkpoint.verify()
        except StorageError as error:
            progress.warn(f"{error} Falling back to the checkpoint before '{folder.name}'.")
            aside = folder.with_name(f".{folder.name}.corrupt")
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
        else:
            return checkpoint
    if found:
        raise StorageError(
            f"All {len(found)} checkpoints of '{run}' are corrupt.", hint="Start again in a new run folder."
        )
    return None
