"""`facegen ema`: averaged weights of any width, made of a run's snapshots; and their validation by width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facegen.config.recipe import Recipe
from facegen.errors import MissingModelError, UsageError
from facegen.formats.checkpoint import Checkpoint, Stored, load_checkpoint, save_checkpoint
from facegen.formats.checkpoint_head import checkpoint_name, list_checkpoints
from facegen.formats.ema_snapshots import BUFFERS, FOLDER, EmaSnapshot, EmaSnapshots, tensor_name
from facegen.formats.far import written_beside
from facegen.formats.run import RunDirectory
from facegen.models.devices import resolve_device
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.training.ema_profiles import LARGEST_WIDTH, Fit, Profile, fit_profile
from facegen.training.precision import choose_precision
from facegen.training.train import check_same_data
from facegen.training.trainer import build_seeded
from facegen.training.wiring import wire_task

LARGEST_ERROR = 0.05  # of a profile, from which its average is another one than was asked for
WIDTHS = (0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25)  # of the curve


@dataclass(frozen=True)
class EmaSummary:
    """Where the average of `width` after `step` is; its profile is missed by the share `profile_error`."""

    checkpoint: str
    width: float
    step: int
    snapshots: int
    profile_error: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class WidthScore:
    """The validation `loss` of one width's average; `kept` in training, or else made of those that were."""

    width: float
    loss: float
    kept: bool
    profile_error: float


@dataclass(frozen=True)
class WidthCurve:
    """Validation by width after `step`, narrow to wide; beside it, where that step has a checkpoint, the loss
    of the weights as trained and of the running average."""

    step: int
    scores: tuple[WidthScore, ...]
    as_trained: float | None = None
    running_average: float | None = None

    @property
    def best(self) -> WidthScore:
        return min(self.scores, key=lambda score: score.loss)


@dataclass(frozen=True)
class _Moment:
    """The snapshots of a run up to a step, and the checkpoint that has what no snapshot has."""

    run: Path
    kept: EmaSnapshots
    snapshots: tuple[EmaSnapshot, ...]
    base: Checkpoint

    @property
    def step(self) -> int:
        return self.snapshots[-1].step

    @property
    def profiles(self) -> list[Profile]:
        return [Profile(width, one.updates) for one in self.snapshots for width in self.kept.widths]

    def fit(self, width: float) -> Fit:
        return fit_profile(self.profiles, Profile(width, self.snapshots[-1].updates))

    def usual_widths(self) -> list[float]:
        """Those of `WIDTHS`, and those kept, that can be made."""
        return [w for w in sorted({*WIDTHS, *self.kept.widths}) if self.fit(w).error <= LARGEST_ERROR]


def average_afterwards(
    run: Path, width: float, *, step: int | None = None, out: Path | None = None
) -> EmaSummary:
    """Make the average of `width` after `step` (of a snapshot; left out, the last) a checkpoint folder.

    It is `out`, else RUN/ema/width-W, and opens wherever a checkpoint does; it has averaged weights alone.

    Raises:
        UsageError: not a run, one that keeps no snapshots, a width that cannot be made of them, a step
            without one, or a folder in the way.
        MissingModelError: no snapshot or no checkpoint yet.
        StorageError: names the snapshot that is missing or damaged, or the disk is full.
    """
    run = Path(run)
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out '{out}' is in the way.", hint="Name a folder that is not there yet.")
    moment = _moment(run, step)
    fit = _checked_fit(moment, width)
    (weights,) = _combined(moment, [fit])
    recipe, at = moment.base.info.recipe, "" if step is None else f"-{checkpoint_name(step)}"
    info = replace(
        moment.base.info,
        step=moment.step,
        images_seen=moment.step * int(recipe["training"]["batch_size"]),
        metrics={},
        ema_width=width,
    )
    folder = out or written_beside(run) / FOLDER / f"width-{width:g}{at}"
    stored: dict[Stored, dict[str, Tensor]] = {"ema": weights}
    if (weak := moment.base.weak_weights()) is not None:
        stored["weak"] = weak
    save_checkpoint(folder, info, stored, None, moment.base.autoencoder_folder)
    return EmaSummary(str(folder), width, moment.step, len(moment.snapshots), fit.error)


def width_curve(
    run: Path,
    widths: Sequence[float] = (),
    *,
    step: int | None = None,
    data: Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> WidthCurve:
    """Validate the averages of `widths`, as training validates; left out, all of `WIDTHS` that can be made.

    `data` is where the run's data are now, if they have moved.

    Raises:
        UsageError, MissingModelError, StorageError: as `average_afterwards`; or other data than the run's.
        DataError: the data are not there.
    """
    moment, progress = _moment(Path(run), step), progress or SilentProgress()
    chosen = sorted(set(widths)) or moment.usual_widths()
    fits = [_checked_fit(moment, width) for width in chosen]
    scorer = _Scorer(_recipe(moment.run, data), moment.base, resolve_device(device), progress)
    states = _combined(moment, fits)
    scores: list[WidthScore] = []
    with progress.stage("Validating widths", total=len(chosen)) as bar:
        for width, fit, weights in zip(chosen, fits, states, strict=True):
            kept = width in moment.kept.widths
            scores.append(WidthScore(width, scorer.loss(weights), kept, fit.error))
            bar.advance()
    beside: dict[str, float] = {}
    for folder in list_checkpoints(moment.run):
        if folder.name == checkpoint_name(moment.step):
            beside["as_trained"] = scorer.loss(load_checkpoint(folder).weights("model"))
            beside["running_average"] = scorer.loss(load_checkpoint(folder).weights("ema"))
    return WidthCurve(moment.step, tuple(scores), **beside)


class _Scorer:
    """Validates weights on a run's held-out data, as its training does."""

    def __init__(self, recipe: Recipe, base: Checkpoint, device: torch.device, progress: Progress) -> None:
        wired = wire_task(recipe, progress)
        check_same_data(wired, base, recipe)
        self._task, self._device = wired.task, device
        self._module: nn.Module = (
            build_seeded(wired.task.build_module, recipe.training.seed).to(device).eval()
        )
        self._precision = choose_precision(recipe.training.precision, device)

    @torch.no_grad()
    def loss(self, weights: dict[str, Tensor]) -> float:
        self._module.load_state_dict(weights)
        with self._precision.autocast(self._device):
            return float(self._task.validate(self._module, self._device)["loss"])


def _recipe(run: Path, data: Path | None) -> Recipe:
    recipe = RunDirectory(run).recipe()
    if data is None:
        return recipe
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"path": str(data)})})


def _moment(run: Path, step: int | None) -> _Moment:
    """What a run kept up to `step`, or up to its last snapshot."""
    recipe, kept = RunDirectory(run).recipe(), EmaSnapshots(run)
    found = kept.all()
    if not recipe.ema.widths:
        raise UsageError(
            f"The run '{run}' kept no snapshots of averaged weights: its recipe has no 'ema.widths'.",
            hint='Train one that does: facegen train ... --set "ema.widths=[0.05,0.1]"',
        )
    if not found:
        raise MissingModelError(
            f"The run '{run}' has no snapshot of averaged weights yet: {recipe.ema.snapshots} are made, "
            "the last one at its end.",
            hint=f"Train it on: facegen train --run {run} --resume",
        )
    steps = [one.step for one in found]
    if step is not None and step not in steps:
        nearest = sorted(sorted(steps, key=lambda one: abs(one - step))[:4])
        raise UsageError(
            f"The run '{run}' has no snapshot after step {step}.",
            hint=f"Of its {len(steps)}, these are the nearest: {', '.join(map(str, nearest))}.",
        )
    until = steps[-1] if step is None else step
    return _Moment(
        run, kept, tuple(one for one in found if one.step <= until), load_checkpoint(run, "latest")
    )


def _checked_fit(moment: _Moment, width: float) -> Fit:
    if not 0 < width <= LARGEST_WIDTH:
        raise UsageError(
            f"--width must be above 0 and at most {LARGEST_WIDTH:.3f}, not {width:g}.",
            hint="It is the share of training that is averaged over: 0.1 looks back over about a tenth.",
        )
    fit = moment.fit(width)
    if fit.error > LARGEST_ERROR:
        known = ", ".join(f"{one:g}" for one in moment.usual_widths())
        raise UsageError(
            f"Width {width:g} cannot be made of {len(moment.snapshots)} snapshots up to step {moment.step}: "
            f"they miss its profile by {100 * fit.error:.0f} %, and {100 * LARGEST_ERROR:.0f} % is allowed.",
            hint=f"These can be: {known}. More snapshots (ema.snapshots) reach further.",
        )
    return fit


def _combined(moment: _Moment, fits: Sequence[Fit]) -> list[dict[str, Tensor]]:
    """A state dict for each fit: snapshots summed up in float64, what none has as the checkpoint has it."""
    base = moment.base.weights("ema")
    results = [dict(base) for _ in fits]
    coefficients = torch.stack([torch.from_numpy(fit.coefficients) for fit in fits])  # (fits, N)
    with moment.kept.opened(moment.snapshots) as files:
        stored = set(files[-1].keys())
        places = [(file, width) for file in files for width in moment.kept.widths]
        for name, like in base.items():
            if tensor_name(BUFFERS, name) in stored:
                for result in results:
                    result[name] = files[-1].get_tensor(tensor_name(BUFFERS, name))
            elif tensor_name(moment.kept.widths[0], name) in stored:
                total = torch.zeros(len(fits), like.numel(), dtype=torch.float64)
                for column, (file, width) in enumerate(places):
                    values = file.get_tensor(tensor_name(width, name)).double().flatten()
                    total.addr_(coefficients[:, column], values)
                for result, values in zip(results, total, strict=True):
                    result[name] = values.view(like.shape).to(like.dtype)
    return results
