"""Which checkpoints of a run are kept, and finding the one to resume from."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from facegen.errors import StorageError
from facegen.formats.checkpoint import (
    Checkpoint,
    CheckpointInfo,
    Stored,
    load_checkpoint,
    ranking_of,
    resolve_checkpoint,
    save_checkpoint,
)
from facegen.formats.checkpoint_head import Ranking, checkpoint_name, list_checkpoints, remove_checkpoint
from facegen.formats.run import RunDirectory
from facegen.protocols import Progress
from facegen.training.uploading import Uploader


@dataclass(frozen=True)
class CheckpointKeeper:
    """Saves checkpoints and keeps the last `keep_last` of them and the best one.

    All of them say `info` of themselves, and `autoencoder_folder` is linked into each. `uploader` is told of
    every save.
    """

    run: RunDirectory
    info: CheckpointInfo
    keep_last: int
    autoencoder_folder: Path | None = None
    uploader: Uploader | None = None

    def is_best(self, found: Ranking | None) -> bool:
        """Whether what was measured at this step is finite and beats every checkpoint that stands."""
        if found is None or not found.beats(None):
            return False
        return all(found.beats(ranking_of(folder)) for folder in list_checkpoints(self.run.path))

    def save(
        self,
        step: int,
        images_seen: int,
        metrics: dict[str, Any],
        weights: Mapping[Stored, Mapping[str, Tensor]],
        training_state: Mapping[str, Any],
        scores: Mapping[str, float],
        chosen: Ranking | None,
    ) -> None:
        """Write the checkpoint of `step`, then remove those no longer wanted."""
        measured = {"metrics": metrics, "scores": dict(scores), "chosen": chosen}
        info = replace(self.info, step=step, images_seen=images_seen, **measured)
        folder = self.run.checkpoint(checkpoint_name(step))
        save_checkpoint(folder, info, weights, training_state, self.autoencoder_folder)
        self.remove_unwanted()
        if self.uploader is not None:
            self.uploader.upload()

    def remove_unwanted(self) -> None:
        """Remove all checkpoints but the last and the best, those too that a killed save had left."""
        if not (superseded := list_checkpoints(self.run.path)[: -self.keep_last]):
            return
        best = resolve_checkpoint(self.run.path, "best")
        for folder in superseded:
            if folder != best:
                remove_checkpoint(folder)


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
