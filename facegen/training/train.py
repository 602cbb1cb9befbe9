"""`facegen train`: a recipe to a run folder with checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from facegen.config.recipe import Recipe
from facegen.errors import UsageError
from facegen.formats.checkpoint import Checkpoint, clean_leftovers, load_checkpoint
from facegen.formats.run import LOCK_FILE, RunDirectory, locked_run
from facegen.models.devices import resolve_device
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.training.checkpointing import CheckpointKeeper, newest_whole_checkpoint
from facegen.training.precision import choose_precision
from facegen.training.trackers import check_trackers
from facegen.training.trainer import Trainer, build_seeded, num_steps_of
from facegen.training.wiring import WiredTask, count_parameters, wire_task

BYTES_PER_PARAMETER = 4
TRAINING_COPIES = 5  # weights, gradient, two Adam moments, EMA


@dataclass(frozen=True)
class TrainSummary:
    """What a training run came to. `seconds` is of this call alone; `validation` the last one made."""

    run: str
    task: str
    steps: int
    images_seen: int
    parameters: int
    seconds: float
    skipped_steps: int
    validation: dict[str, Any] = field(default_factory=dict)
    best_checkpoint: str | None = None
    best_loss: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class TrainEstimate:
    """What a run would take, without training it. `memory_bytes` leaves out activations."""

    task: str
    parameters: int
    memory_bytes: int
    checkpoint_bytes: int
    num_examples: int
    steps: int
    epochs: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def train(
    recipe: Recipe,
    run: Path | str,
    resume: bool = False,
    progress: Progress | None = None,
    device: str = "auto",
) -> TrainSummary:
    """Train `recipe` in the folder `run`; with `resume`, go on exactly where it stopped.

    Raises:
        UsageError: the folder is in the way or in use, there is nothing to resume, or another recipe.
        DataError: the data are missing, of the wrong kind, changed since, or lack a split.
        StorageError: the disk is full, or data or checkpoints are damaged.
        TrainingDivergedError: too many non-finite steps in a row.
        Terminated: a signal asked to stop; a checkpoint was saved.
    """
    run, progress = Path(run), progress or SilentProgress()
    target = resolve_device(device)
    check_trackers(recipe.training.trackers)  # before anything is made
    if resume:
        RunDirectory(run).recipe()  # refuses what is not a run before a lock file is made in it
    elif not RunDirectory(run).exists:
        _check_nothing_in_the_way(run)
    wired = wire_task(recipe, progress)
    recipe = wired.recipe
    with locked_run(run) as folder:
        if folder.exists and not resume:
            raise UsageError(
                f"'{run}' already holds a run.",
                hint=f"Go on with it: facegen train --run {run} --resume; or choose another --run.",
            )
        if resume:
            folder.check_same_recipe(recipe)
        for name in clean_leftovers(run):
            progress.say(f"Removed '{name}', which an interrupted save had left.")
        return _train_locked(wired, folder, target, progress, resume=resume)


def estimate(recipe: Recipe, progress: Progress | None = None) -> TrainEstimate:
    """Size and length of the run that `recipe` describes; opens the data but trains nothing."""
    wired = wire_task(recipe, progress)
    module = build_seeded(wired.task.build_module, recipe.training.seed)
    parameters, examples = count_parameters(module), wired.task.num_examples
    stored = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    copies = TRAINING_COPIES if recipe.ema.enabled else TRAINING_COPIES - 1
    steps = num_steps_of(recipe, examples)
    return TrainEstimate(
        task=recipe.task["kind"],
        parameters=parameters,
        memory_bytes=copies * BYTES_PER_PARAMETER * parameters,
        checkpoint_bytes=stored * (2 if recipe.ema.enabled else 1) + 2 * BYTES_PER_PARAMETER * parameters,
        num_examples=examples,
        steps=steps,
        epochs=steps * recipe.training.batch_size / examples,
    )


def _train_locked(
    wired: WiredTask,
    folder: RunDirectory,
    device: torch.device,
    progress: Progress,
    *,
    resume: bool,
) -> TrainSummary:
    recipe = wired.recipe
    if not resume:
        folder.start(recipe, precision=choose_precision(recipe.training.precision, device).name)
    checkpoint = newest_whole_checkpoint(folder.path, progress) if resume else None
    if checkpoint is not None:
        _check_same_data(wired, checkpoint, recipe)
    preview = None
    if wired.make_preview is not None and recipe.training.preview_every_steps:
        preview = wired.make_preview(folder, device)
    keeper = CheckpointKeeper(folder, wired.info, recipe.training.keep_last, wired.autoencoder_folder)
    trainer = Trainer(wired.task, recipe, keeper, progress, device, preview)
    parameters = count_parameters(trainer.module)
    if checkpoint is not None:
        trainer.restore(checkpoint)
    folder.truncate_metrics(trainer.step)
    _announce(trainer, parameters)
    seconds = trainer.fit()
    best = load_checkpoint(folder.path, "best")
    return TrainSummary(
        run=str(folder.path),
        task=recipe.task["kind"],
        steps=trainer.step,
        images_seen=trainer.images_seen,
        parameters=parameters,
        seconds=seconds,
        skipped_steps=trainer.skipped_steps,
        validation=trainer.last_validation,
        best_checkpoint=str(best.folder),
        best_loss=best.info.metrics.get("loss"),
    )


def _announce(trainer: Trainer, parameters: int) -> None:
    done, steps, say = trainer.step, trainer.num_steps, trainer.progress.say
    if done >= steps:
        say(f"This run is done: all {steps:,} steps were made.")
        return
    where = f"Resuming after step {done:,} of" if done else "Training for"
    say(
        f"{where} {steps:,} steps of {trainer.config.batch_size} on {trainer.device}: "
        f"{parameters / 1e6:.2f} M parameters, {trainer.task.num_examples:,} examples."
    )
    say(f"Precision {trainer.precision.reason}.")


def _check_nothing_in_the_way(run: Path) -> None:
    if run.exists() and not run.is_dir():
        raise UsageError(f"'{run}' is a file; --run needs a folder.")
    if run.is_dir() and any(entry.name != LOCK_FILE for entry in run.iterdir()):
        raise UsageError(f"'{run}' is not empty and not a run.", hint="Choose another folder with --run.")


def _check_same_data(wired: WiredTask, checkpoint: Checkpoint, recipe: Recipe) -> None:
    before, now = checkpoint.info.data_fingerprint, wired.info.data_fingerprint
    if before != now:
        raise UsageError(
            f"The data in '{recipe.data.path}' are not those this run was started with: "
            f"fingerprint {str(now)[:12]} instead of {str(before)[:12]}.",
            hint="Give the former data with --data, or start a new run.",
        )
