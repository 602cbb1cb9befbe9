"""`facegen train`: a recipe to a run folder with checkpoints."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facegen.config.recipe import Recipe
from facegen.errors import Terminated, UsageError
from facegen.formats.checkpoint import Checkpoint, Weights, load_checkpoint
from facegen.formats.checkpoint_head import clean_leftovers
from facegen.formats.history import HISTORY_FILE, RunEvent
from facegen.formats.run import (
    ENVIRONMENT_FILE,
    LOCK_BESIDE,
    LOCK_FILE,
    RECIPE_FILE,
    RunDirectory,
    locked_run,
)
from facegen.models.devices import resolve_device
from facegen.processes import world
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.training.agreement import check_agreement
from facegen.training.changes import continue_run, new_event, told
from facegen.training.checkpointing import CheckpointKeeper, newest_whole_checkpoint
from facegen.training.foreign import open_foreign
from facegen.training.freezing import freeze
from facegen.training.history import RunHistory
from facegen.training.options import AS_IT_IS, LifeOptions
from facegen.training.precision import choose_precision
from facegen.training.scoring import Scorer
from facegen.training.trackers import check_trackers
from facegen.training.trainer import Trainer, build_seeded
from facegen.training.uploading import Uploader, check_upload, uploading
from facegen.training.warm_start import (
    WarmStart,
    open_source,
    take_weights,
    warn_of_other_labels,
    warn_of_settings,
)
from facegen.training.wiring import WiredTask, count_parameters, wire_task

BYTES_PER_PARAMETER = 4
BEFORE_RECIPE = (LOCK_FILE, LOCK_BESIDE, ENVIRONMENT_FILE, HISTORY_FILE)  # what a start writes
TEMPORARY_BEFORE_RECIPE = tuple(f".{name}." for name in (*BEFORE_RECIPE, RECIPE_FILE))
TRAINING_COPIES = 4  # weights, gradient, two Adam moments; averages come on top


@dataclass(frozen=True)
class TrainSummary:
    """What a training run came to. `seconds` is of this call alone; `validation` and `scores` are the last
    ones made. The best checkpoint is so by `best_by` ("loss", or the number of a score), of which it has
    `best_value`. `stopped` says why the run ended before its last step, if it did."""

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
    scores: dict[str, float] = field(default_factory=dict[str, float])
    best_by: str | None = None
    best_value: float | None = None
    stopped: str | None = None

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
    *,
    life: LifeOptions = AS_IT_IS,
    as_started: bool = False,
    upload: str | None = None,
) -> TrainSummary:
    """Train `recipe` in the folder `run`; with `resume`, go on exactly where it stopped.

    Several processes that a launcher started train together; the first of them writes and talks.

    A resumed run goes on with what `recipe` changes in it, from the step where it stands: see `continue_run`,
    also for `as_started`. Every change is written to the run's history. Checkpoints are copied to the far
    folder `upload` (`s3://...`) in the background.

    Raises:
        UsageError: the folder is in the way or in use, there is nothing to resume, or the recipe changes what
            may not change on the way.
        DataError: the data are missing, of the wrong kind, changed since, or lack a split.
        StorageError: the disk is full, or data or checkpoints are damaged.
        MissingModelError: `upload`, or far data, cannot be reached.
        TrainingDivergedError: too many non-finite steps in a row.
        Terminated: a signal asked to stop; a checkpoint was saved.
        LostProcessError: another process was killed, failed or hangs.
    """
    run, progress = Path(run), progress or SilentProgress()
    target = resolve_device(device)
    check_trackers(recipe.training.trackers)  # before anything is made
    if life.extend is not None and not RunDirectory(run).exists:
        raise UsageError(
            f"There is no run in '{run}' to extend.",
            hint=f"Start it: facegen train --preset NAME --data FOLDER --run {run}",
        )
    if resume:
        RunDirectory(run).recipe()  # refuses what is not a run before a lock file is made in it
    elif not RunDirectory(run).exists:
        _check_nothing_in_the_way(run)
    wired = world().together(lambda: wire_task(recipe, progress))
    check_agreement(world(), wired)
    with _ending_together(upload), ExitStack() as held:

        def take() -> RunDirectory:
            if upload is not None:
                check_upload(upload, RunDirectory(run), progress)
            folder = held.enter_context(locked_run(run))
            if folder.exists and not resume:
                raise UsageError(
                    f"'{run}' already holds a run.",
                    hint=f"Go on with it: facegen train --run {run} --resume; or choose another --run.",
                )
            for name in clean_leftovers(run):
                progress.say(f"Removed '{name}', which an interrupted save had left.")
            return folder

        folder = world().first(take)
        there = upload if world().is_first else None
        uploader = held.enter_context(uploading(there, folder, progress))
        if not resume:
            return _started(wired, folder, target, progress, life, uploader)
        return _resumed(wired, folder, target, progress, life, uploader, as_started=as_started)


@contextmanager
def _ending_together(upload: str | None) -> Generator[None]:
    """Have stopped processes wait for the first, which copies: launchers end all when one has ended."""
    try:
        yield
    except Terminated:
        if upload is not None:
            world().wait()
        raise


def estimate(recipe: Recipe, progress: Progress | None = None) -> TrainEstimate:
    """Size and length of the run that `recipe` describes; opens the data but trains nothing."""
    wired = wire_task(recipe, progress)
    module = build_seeded(wired.task.build_module, recipe.training.seed)
    freeze(module, recipe.training.freeze)
    parameters, examples = count_parameters(module), wired.task.num_examples
    stored = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    averages = int(recipe.ema.enabled) + len(recipe.ema.widths)
    steps = RunHistory(recipe, examples).num_steps
    return TrainEstimate(
        task=recipe.task["kind"],
        parameters=parameters,
        memory_bytes=(TRAINING_COPIES + averages) * BYTES_PER_PARAMETER * parameters,
        checkpoint_bytes=stored * (1 + averages) + 2 * BYTES_PER_PARAMETER * parameters,
        num_examples=examples,
        steps=steps,
        epochs=steps * recipe.training.batch_size / examples,
    )


def _started(
    wired: WiredTask,
    folder: RunDirectory,
    device: torch.device,
    progress: Progress,
    life: LifeOptions,
    uploader: Uploader | None,
) -> TrainSummary:
    """Start the run, with weights of another one if asked."""
    recipe, events, weights = wired.recipe, list[RunEvent](), None
    if recipe.training.freeze:
        freeze(_built(wired), recipe.training.freeze)  # refuses before anything is made
    if life.source is not None:
        weights, begun = _warm_start(wired, life.source, life.weights, progress)
        events.append(new_event(0, started_from=begun.to_json()))
    scorer = _scorer(wired, device, progress)
    chosen = {
        "precision": choose_precision(recipe.training.precision, device).name,
        "processes": str(world().size),
        "num_examples": str(wired.task.num_examples),
    }
    world().first(lambda: folder.start(recipe, events, **chosen))
    trainer = _trainer(wired, folder, device, progress, events, scorer, uploader)
    if weights is not None:
        _give(trainer, weights)
    return _fit(trainer)


def _resumed(
    wired: WiredTask,
    folder: RunDirectory,
    device: torch.device,
    progress: Progress,
    life: LifeOptions,
    uploader: Uploader | None,
    *,
    as_started: bool,
) -> TrainSummary:
    """Go on with the run, changed if asked."""
    checkpoint = world().first(lambda: newest_whole_checkpoint(folder.path, progress))
    if checkpoint is not None:
        check_same_data(wired, checkpoint, wired.recipe)
    going = world().first(
        lambda: continue_run(
            folder, wired.recipe, checkpoint, wired.task.num_examples, life, as_started=as_started
        )
    )
    if going.recipe != wired.recipe:
        wired = world().together(lambda: wire_task(going.recipe, progress))
    begun = next((event.started_from for event in going.events if event.started_from), None)
    if life.source is not None and begun is None:
        raise UsageError(
            f"The run '{folder.path}' did not begin with the weights of another; --from starts a new run.",
            hint="Choose another folder with --run, or leave --from out.",
        )
    scorer = _scorer(wired, device, progress)
    trainer = _trainer(wired, folder, device, progress, going.events, scorer, uploader)
    if checkpoint is not None:
        trainer.restore(checkpoint)
    elif begun is not None:
        _give(trainer, _same_weights(wired, begun, life.source, progress))
    world().first(lambda: going.write(folder))
    if going.new is not None:
        progress.say(told(going.new))
    return _fit(trainer)


def _scorer(wired: WiredTask, device: torch.device, progress: Progress) -> Scorer | None:
    """What scores drawn faces, in the first process, if the recipe asks for that."""
    make, made = wired.make_scorer, list[Scorer]()
    if make is not None and wired.recipe.scoring.scores:
        world().first(lambda: made.append(make(device, progress)))
    return made[0] if made else None


def _trainer(
    wired: WiredTask,
    folder: RunDirectory,
    device: torch.device,
    progress: Progress,
    events: list[RunEvent],
    scorer: Scorer | None,
    uploader: Uploader | None,
) -> Trainer:
    recipe = wired.recipe
    preview = None
    if wired.make_preview is not None and recipe.training.preview_every_steps and world().is_first:
        preview = wired.make_preview(folder, device)
    keeper = CheckpointKeeper(
        folder, wired.info, recipe.training.keep_last, wired.autoencoder_folder, uploader
    )
    history = RunHistory(recipe, wired.task.num_examples, events)
    return Trainer(wired.task, recipe, keeper, progress, device, preview, history, scorer)


def _fit(trainer: Trainer) -> TrainSummary:
    folder, parameters = trainer.keeper.run, count_parameters(trainer.module)
    world().first(trainer.keeper.remove_unwanted)
    world().first(lambda: folder.truncate_metrics(trainer.step))
    world().first(lambda: trainer.power_emas.drop_after(trainer.step))
    _announce(trainer, parameters)
    seconds = trainer.fit()
    best = load_checkpoint(folder.path, "best")
    ranking = best.info.ranking
    return TrainSummary(
        run=str(folder.path),
        task=trainer.recipe.task["kind"],
        steps=trainer.step,
        images_seen=trainer.images_seen,
        parameters=parameters,
        seconds=seconds,
        skipped_steps=trainer.skipped_steps,
        validation=trainer.last_validation,
        best_checkpoint=str(best.folder),
        best_loss=best.info.metrics.get("loss"),
        scores=trainer.scoring.last,
        best_by=None if ranking is None else ranking.name,
        best_value=None if ranking is None else ranking.value,
        stopped=trainer.scoring.stopped if trainer.step < trainer.num_steps else None,
    )


def _built(wired: WiredTask) -> nn.Module:
    return build_seeded(wired.task.build_module, wired.recipe.training.seed)


def _warm_start(
    wired: WiredTask, source: Path, weights: Weights, progress: Progress
) -> tuple[dict[str, Tensor], WarmStart]:
    """The weights a run begins with that takes those of `source`; says which were taken."""
    origin = open_foreign(source, weights, wired.recipe) or open_source(source, weights, wired.info.task)
    module = _built(wired)
    begun = take_weights(module, origin, source, freeze(module, wired.recipe.training.freeze))
    for line in begun.lines():
        progress.say(line)
    warn_of_settings(begun, origin.remedy, progress)
    warn_of_other_labels(origin.labels, wired.info.labels, progress)
    return module.state_dict(), begun


def _same_weights(
    wired: WiredTask, before: dict[str, Any], source: Path | None, progress: Progress
) -> dict[str, Tensor]:
    """The weights that a run began with which has no checkpoint yet, from where they came."""
    weights, begun = _warm_start(wired, source or Path(before["source"]), before["weights"], progress)
    if begun.sha256 != before["sha256"]:
        raise UsageError(
            f"'{begun.source}' no longer has the weights that this run began with, and it has no checkpoint "
            "of its own yet.",
            hint="Start a new run in another folder.",
        )
    return weights


def _give(trainer: Trainer, weights: dict[str, Tensor]) -> None:
    trainer.spread.load(trainer.module, weights)
    if trainer.ema is not None:
        trainer.spread.load(trainer.ema.module, weights)


def _announce(trainer: Trainer, parameters: int) -> None:
    done, steps, say = trainer.step, trainer.num_steps, trainer.progress.say
    if done >= steps:
        say(f"This run is done: all {steps:,} steps were made.")
        return
    if stopped := trainer.scoring.stopped:
        say(
            f"This run stopped early, after step {done:,} of {steps:,}: {stopped}. Go on with: facegen train "
            f"--run {trainer.keeper.run.path} --resume --set scoring.stop_after=null"
        )
        return
    spread = f" in {trainer.world.size} processes" if trainer.world.is_many else ""
    where = f"Resuming after step {done:,} of" if done else "Training for"
    say(
        f"{where} {steps:,} steps of {trainer.config.batch_size} on {trainer.device}{spread}: "
        f"{parameters / 1e6:.2f} M parameters, {trainer.task.num_examples:,} examples."
    )
    say(f"Precision {trainer.precision.reason}.")
    if trainer.frozen:
        say(f"Frozen: {', '.join(trainer.frozen)}.")


def _check_nothing_in_the_way(run: Path) -> None:
    if run.exists() and not run.is_dir():
        raise UsageError(f"'{run}' is a file; --run needs a folder.")
    if run.is_dir() and not all(_is_of_a_start(entry) for entry in run.iterdir()):
        raise UsageError(f"'{run}' is not empty and not a run.", hint="Choose another folder with --run.")


def _is_of_a_start(entry: Path) -> bool:
    """Whether a start that was killed before `recipe.yaml`, which comes last, may have left this."""
    if entry.name == "checkpoints" and entry.is_dir():
        return not any(entry.iterdir())
    return entry.name in BEFORE_RECIPE or entry.name.startswith(TEMPORARY_BEFORE_RECIPE)


def check_same_data(wired: WiredTask, checkpoint: Checkpoint, recipe: Recipe) -> None:
    """Refuse other data than the checkpoint's run was started with.

    Raises:
        UsageError: the fingerprints differ.
    """
    before, now = checkpoint.info.data_fingerprint, wired.info.data_fingerprint
    if before != now:
        raise UsageError(
            f"The data in '{recipe.data.path}' are not those this run was started with: "
            f"fingerprint {str(now)[:12]} instead of {str(before)[:12]}.",
            hint="Give the former data with --data, or start a new run.",
        )
