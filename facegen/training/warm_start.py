"""Beginning a run with the weights of another one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from facegen.errors import UsageError
from facegen.formats.checkpoint import Weights, load_checkpoint
from facegen.formats.far import shared_path
from facegen.protocols import Progress
from facegen.types import LabelSchema

MOST_TOLD = 8  # names a list
FATES = ("taken", "of another shape", "not there", "left over")  # "there" is where the weights come from


@dataclass(frozen=True)
class Origin:
    """Weights that a run can begin with: `told` says what they are, and `remedy` for which recipe.

    `tensors` are the weights, named as they are in the module that is given. `settings` are what that module
    computes otherwise although weights fit, by their name. `labels` are those they were trained with.
    """

    told: str
    remedy: str
    sha256: str
    step: int | None
    weights: Weights
    tensors: Callable[[nn.Module], dict[str, Tensor]]
    settings: Callable[[nn.Module], dict[str, str]] = lambda _: {}
    labels: LabelSchema | None = None


@dataclass(frozen=True)
class WarmStart:
    """What a run began with: tensors by name, `taken`, `skipped` with the reason, `fresh` and `frozen`.

    `parameters` counts numbers by part of the network and by `FATES`; `settings` are an `Origin`'s.
    """

    source: str
    told: str
    sha256: str
    step: int | None
    weights: Weights
    taken: list[str]
    skipped: dict[str, str]
    fresh: list[str]
    frozen: list[str]
    parameters: dict[str, dict[str, int]]
    settings: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """How many tensors, numbers in a table by part, and names of all that was not taken."""
        counts = f"{len(self.taken):,} taken, {len(self.skipped):,} skipped, {len(self.fresh):,} fresh"
        frozen = f", {len(self.frozen):,} frozen" if self.frozen else ""
        width = max(map(len, self.parameters))
        return [
            f"Weights of '{self.source}' ({self.told}): {counts}{frozen}.",
            f"  {'parameters':{width}}" + "".join(f"  {fate:>16}" for fate in FATES),
            *(
                f"  {part:{width}}" + "".join(f"  {row[fate]:16,}" for fate in FATES)
                for part, row in self.parameters.items()
            ),
            *_listed("skipped", [f"{name}: {why}" for name, why in self.skipped.items()]),
            *_listed("fresh", self.fresh),
            *_listed("frozen", self.frozen),
        ]


def open_source(source: Path, weights: Weights, task: str) -> Origin:
    """The weights of the checkpoint that `source` means: itself, or the best one of a run.

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
    return Origin(
        told=f"{weights}, step {checkpoint.info.step:,}",
        remedy="Give the recipe the 'denoiser', 'conditioner' or 'autoencoder' section of that run.",
        sha256=checkpoint.info.files[f"{weights}.safetensors"],
        step=checkpoint.info.step,
        weights=weights,
        tensors=lambda _: checkpoint.weights(weights),
        labels=checkpoint.info.labels,
    )


def take_weights(module: nn.Module, origin: Origin, source: Path, frozen: Sequence[str]) -> WarmStart:
    """Give `module` the tensors of `origin` whose names and shapes it has.

    Raises:
        UsageError: no parameter fits.
        StorageError: the weights are damaged.
    """
    there, here = origin.tensors(module), module.state_dict()
    taken = {name: value for name, value in there.items() if name in here and value.shape == here[name].shape}
    if not any(name in taken for name, _ in module.named_parameters()):
        raise UsageError(
            f"--from '{source}' ({origin.told}): none of its {len(there)} tensors fits this network by name "
            "and shape.",
            hint=origin.remedy,
        )
    module.load_state_dict(taken, strict=False)
    skipped = {
        name: f"{_shape(value)} there, {_shape(here[name])} here" if name in here else "only there"
        for name, value in there.items()
        if name not in taken
    }
    return WarmStart(
        source=shared_path(source),
        told=origin.told,
        sha256=origin.sha256,
        step=origin.step,
        weights=origin.weights,
        taken=list(taken),
        skipped=skipped,
        fresh=[name for name in here if name not in taken],
        frozen=list(frozen),
        parameters=_counted(there, here, taken),
        settings=origin.settings(module),
    )


def warn_of_settings(begun: WarmStart, remedy: str, progress: Progress) -> None:
    """Weights alone do not make a network compute what it did."""
    if begun.settings:
        told = "; ".join(f"{name}: {how}" for name, how in begun.settings.items())
        progress.warn(
            f"With these weights the network computes otherwise than it did there. {told}. {remedy}"
        )


def warn_of_other_labels(there: LabelSchema | None, here: LabelSchema, progress: Progress) -> None:
    """Weights of a conditioner mean the labels they were trained with, in their order."""
    if there is not None and there != here:
        progress.warn(
            "The labels of the data differ from those the weights were trained with; a conditioner's weights "
            "are taken where their shapes fit, whatever their labels mean."
        )


def _counted(
    there: Mapping[str, Tensor], here: Mapping[str, Tensor], taken: Collection[str]
) -> dict[str, dict[str, int]]:
    """Numbers by part of the network, in its order, and by what became of them."""
    parts = dict.fromkeys(map(_part_of, here))
    counted: dict[str, dict[str, int]] = {part: {**dict.fromkeys(FATES, 0)} for part in parts}
    for name, value in {**there, **here}.items():  # those that are in both are counted as they are here
        fate = "taken" if name in taken else "of another shape" if name in there else "not there"
        part = part if (part := _part_of(name)) in parts else name.partition(".")[0]
        row = counted.setdefault(part, dict.fromkeys(FATES, 0))
        row[fate if name in here else "left over"] += value.numel()
    return counted


def _part_of(name: str) -> str:
    """The part of a network that a tensor belongs to: "denoiser.blocks", "denoiser.model.mid_block"."""
    above = name.split(".")[:-1] or [name]
    return ".".join(above[: 3 if "model" in above[:2] else 2])


def _listed(what: str, names: Sequence[str]) -> list[str]:
    more = [f"  {what}: ... and {len(names) - MOST_TOLD:,} more"] if len(names) > MOST_TOLD else []
    return [f"  {what}: {name}" for name in names[:MOST_TOLD]] + more


def _shape(value: Any) -> str:
    return " x ".join(map(str, value.shape)) or "a number"
