"""Beginning a run with the weights of another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from facegen.errors import UsageError
from facegen.formats.checkpoint import Checkpoint, Weights, load_checkpoint
from facegen.formats.far import shared_path
from facegen.protocols import Progress
from facegen.types import LabelSchema

MOST_TOLD = 8  # names a list


@dataclass(frozen=True)
class WarmStart:
    """What a run began with: tensors by name, `taken`, `skipped` with the reason, `fresh` and `frozen`."""

    source: str
    sha256: str
    step: int
    weights: Weights
    taken: list[str]
    skipped: dict[str, str]
    fresh: list[str]
    frozen: list[str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """A short table: how many, and names of all that was not taken."""
        counts = f"{len(self.taken):,} taken, {len(self.skipped):,} skipped, {len(self.fresh):,} fresh"
        frozen = f", {len(self.frozen):,} frozen" if self.frozen else ""
        return [
            f"Weights ({self.weights}) of '{self.source}', step {self.step:,}: {counts}{frozen}.",
            *_listed("skipped", [f"{name}: {why}" for name, why in self.skipped.items()]),
            *_listed("fresh", self.fresh),
            *_listed("frozen", self.frozen),
        ]


def open_source(source: Path, weights: Weights, task: str) -> Checkpoint:
    """The checkpoint that `source` means: itself, or the best one of a run.

    Raises:
        MissingModelError: no checkpoint there.
        StorageError: it is damaged.
        UsageError: it was trained for another task, or has no averaged weights.
    """
    checkpoint = load_checkpoint(source)
    if checkpoint.info.task != task:
        raise UsageError(
            f"--from '{source}' was trained for the task '{checkpoint.info.task}', and this recipe is for "
            f"'{task}'.",
            hint="Name a run of the same task, or leave --from out.",
        )
    if weights == "ema" and not checkpoint.has_ema:
        raise UsageError(
            f"--from '{source}' has no averaged weights: its run kept none.", hint="Add --weights model."
        )
    return checkpoint


def take_weights(
    module: nn.Module, checkpoint: Checkpoint, weights: Weights, source: Path, frozen: Sequence[str]
) -> WarmStart:
    """Give `module` the tensors of `checkpoint` whose names and shapes it has.

    Raises:
        UsageError: no parameter fits.
        StorageError: the weights are damaged.
    """
    there, here = checkpoint.weights(weights), module.state_dict()
    taken = {name: value for name, value in there.items() if name in here and value.shape == here[name].shape}
    if not any(name in taken for name, _ in module.named_parameters()):
        raise UsageError(
            f"--from '{source}': none of its {len(there)} tensors fits this network by name and shape.",
            hint="Give the recipe the 'denoiser', 'conditioner' or 'autoencoder' section of that run.",
        )
    module.load_state_dict(taken, strict=False)
    skipped = {
        name: f"{_shape(value)} there, {_shape(here[name])} here" if name in here else "only there"
        for name, value in there.items()
        if name not in taken
    }
    return WarmStart(
        source=shared_path(source),
        sha256=checkpoint.info.files[f"{weights}.safetensors"],
        step=checkpoint.info.step,
        weights=weights,
        taken=list(taken),
        skipped=skipped,
        fresh=[name for name in here if name not in taken],
        frozen=list(frozen),
    )


def warn_of_other_labels(there: LabelSchema, here: LabelSchema, progress: Progress) -> None:
    """Weights of a conditioner mean the labels they were trained with, in their order."""
    if there != here:
        progress.warn(
            "The labels of the data differ from those the weights were trained with; a conditioner's weights "
            "are taken where their shapes fit, whatever their labels mean."
        )


def _listed(what: str, names: Sequence[str]) -> list[str]:
    more = [f"  {what}: ... and {len(names) - MOST_TOLD:,} more"] if len(names) > MOST_TOLD else []
    return [f"  {what}: {name}" for name in names[:MOST_TOLD]] + more


def _shape(value: Any) -> str:
    return " x ".join(map(str, value.shape)) or "a number"
