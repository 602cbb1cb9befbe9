"""The training loop: everything about training that does not depend on what is trained."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from facegen.config.recipe import Recipe
from facegen.errors import Terminated, TrainingDivergedError
from facegen.formats.checkpoint import Checkpoint, Weights
from facegen.protocols import Batch, PhasedTask, Progress, ProgressTask, TrainingTask
from facegen.signals import StopSignals, exit_code_of
from facegen.training.capsule import save_capsule
from facegen.training.checkpointing import CheckpointKeeper
from facegen.training.data_order import batch_indices, generator_for, seed_for, steps_for_epochs
from facegen.training.ema import Ema
from facegen.training.logs import LossWindow, TrainingLog, duration_text, memory_text
from facegen.training.micro_batches import MicroBatches
from facegen.training.optimizer import build_optimizer, learning_rate, set_learning_rate
from facegen.training.precision import Precision, choose_precision
from facegen.wording import number_text

BAR_INTERVAL_SECONDS = 0.5  # the bar reads the loss, which makes the device catch up

Preview = Callable[[nn.Module, int], None]
"""Draw samples with the averaged module after a step."""


def num_steps_of(recipe: Recipe, num_examples: int) -> int:
    """Optimizer steps of the whole run."""
    training = recipe.training
    if training.max_steps is not None:
        return training.max_steps
    return steps_for_epochs(training.epochs or 1, training.batch_size, num_examples)


def build_seeded(build: Callable[[], Any], seed: int, purpose: str = "weights") -> Any:
    """Build what has weights that depend on seed and purpose alone; the global generator stays untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(purpose, seed))
        return build()


class Trainer:
    """Trains a task's module, and owns loop, order, precision, accumulation, EMA and checkpoints.

    Every step is a pure function of the state before it and of (seed, step), so a resumed run on the same
    CPU repeats the uninterrupted one bit for bit.
    """

    def __init__(
        self,
        task: TrainingTask,
        recipe: Recipe,
        keeper: CheckpointKeeper,
        progress: Progress,
        device: torch.device,
        preview: Preview | None = None,
    ) -> None:
        self.task, self.recipe, self.keeper = task, recipe, keeper
        self.progress, self.device, self.preview = progress, device, preview
        self.config = recipe.training
        self.num_steps = num_steps_of(recipe, task.num_examples)
        self.module = build_seeded(task.build_module, self.config.seed).to(device)
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]
        self.ema = Ema(self.module, recipe.ema.decay) if recipe.ema.enabled else None
        self.optimizer = build_optimizer(self.parameters, recipe.optimizer)
        self.precision = choose_precision(self.config.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision.uses_scaler)
        self.micro = MicroBatches(self.config.batch_size, self.config.accumulation_steps, progress)
        self.log = TrainingLog(keeper.run, recipe)
        self.window = LossWindow()
        self.step = 0  # optimizer steps done, skipped ones included
        self.skipped_steps = 0
        self.bad_steps = 0  # non-finite steps in a row
        self.validation: dict[str, Any] = {}  # of the current step, else empty
        self.last_validation: dict[str, Any] = {}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint: weights, EMA, optimizer, scaler and counters."""
        state = checkpoint.training_state()
        self.module.load_state_dict(checkpoint.weights("model"))
        if self.ema is not None:
            self.ema.module.load_state_dict(checkpoint.weights("ema"))
        self.optimizer.load_state_dict(state["optimizer"])
        if self.config.precision == "auto" and state["precision"] != self.precision.name:
            self.precision = Precision(
                state["precision"], f"{state['precision']}, as before the interruption"
            )
            self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision.uses_scaler)
        self.scaler.load_state_dict(state["scaler"])
        self.micro.size = state["micro_batch"]
        self.window.load_state(state["window"], self.device)
        self.step, self.skipped_steps = state["step"], state["skipped_steps"]
        self.bad_steps, self.last_validation = state["bad_steps"], state["last_validation"]
        self.validation = checkpoint.info.metrics

    def fit(self) -> float:
        """Train to the end of the run; returns the seconds that took.

        Raises:
            Terminated: a signal asked to stop; a checkpoint was saved first.
            TrainingDivergedError: `max_bad_steps` non-finite steps in a row.
            StorageError: a checkpoint could not be written; earlier ones stand.
        """
        if self.config.compile:
            _compile(self.module)
        started = time.monotonic()
        devices = [self.device] if self.device.type == "cuda" else []
        try:
            with (
                StopSignals() as signals,
                torch.random.fork_rng(devices=devices),
                self.progress.stage("Training", total=self.num_steps) as bar,
            ):
                self._loop(signals, bar)
        finally:
            self.log.close()
        return time.monotonic() - started

    @property
    def images_seen(self) -> int:
        return self.step * self.config.batch_size

    def _loop(self, signals: StopSignals, bar: ProgressTask) -> None:
        speed = _Speed(self, bar)
        self.module.train()
        batch = self._load_batch(self.step)
        while self.step < self.num_steps:
            batch = self._train_step(batch)
            speed.after_step()
            stopping = signals.requested  # read once: one that comes while saving waits for the next step
            self._after_step(speed, stopping=stopping is not None)
            if stopping is not None and self.step < self.num_steps:
                raise Terminated(
                    f"{stopping.name}: stopped after step {self.step} of {self.num_steps}; "
                    "its checkpoint is saved.",
                    exit_code=exit_code_of(stopping),
                )
        speed.show()

    def _after_step(self, speed: _Speed, *, stopping: bool) -> None:
        config, last = self.config, self.step == self.num_steps

        def due(every_steps: int | None) -> bool:
            return every_steps is not None and (self.step % every_steps == 0 or last)

        self.validation = {}
        if due(config.log_every_steps):
            self._log_window(speed)
        if due(config.validate_every_steps):
            self._validate()
        if self.preview and due(config.preview_every_steps):
            self.preview(self._evaluation_module(), self.step)
            self.module.train()
        best = bool(self.validation) and self.keeper.is_best(self.validation)
        if best or stopping or last or self._checkpoint_is_due():
            self._save()
        speed.resume()

    def _checkpoint_is_due(self) -> bool:
        config = self.config
        if config.checkpoint_every_steps is not None:
            return self.step % config.checkpoint_every_steps == 0
        # the first step after which so many epochs more are seen whole; a step may reach into the next one
        images = (config.checkpoint_every_epochs or 1) * self.task.num_examples
        return self.images_seen // images > (self.images_seen - config.batch_size) // images

    def _load_batch(self, step: int) -> Batch:
        indices = batch_indices(step, self.config.batch_size, self.task.num_examples, self.config.seed)
        batch = self.task.batch(indices, generator_for("noise", self.config.seed, step))
        if isinstance(self.task, PhasedTask):
            batch = {**batch, "done": torch.full((len(indices),), step / self.num_steps)}
        if self.device.type == "cpu":
            return batch
        pin = self.device.type == "cuda"
        return {
            name: (value.pin_memory() if pin else value).to(self.device, non_blocking=pin)
            for name, value in batch.items()
        }

    def _train_step(self, batch: Batch) -> Batch:
        """Make one optimizer step; return the next batch, loaded while the device was busy."""
        dropout_seed = seed_for("dropout", self.config.seed, self.step)
        torch.default_generator.manual_seed(dropout_seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(dropout_seed)
        losses = self.micro.run(batch, self._backward, self.optimizer.zero_grad)
        self.scaler.unscale_(self.optimizer)
        clip = self.recipe.optimizer.clip_grad_norm
        norm = nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        if clip is not None:
            nn.utils.clip_grads_with_norm_(self.parameters, clip, norm)
        following = self._load_batch(self.step + 1) if self.step + 1 < self.num_steps else {}
        if bool(torch.isfinite(norm + losses["loss"])):
            self._update_weights()
            self.window.add({**losses, "grad_norm": norm})
            self.bad_steps = 0
        else:
            self._skip_step(batch, losses)
        self.step += 1
        return following

    def _backward(self, micro_batch: Batch, share: float) -> dict[str, Tensor]:
        with self.precision.autocast(self.device):
            losses = self.task.losses(self.module, micro_batch)
        self.scaler.scale(losses["loss"] * share).backward()
        return {name: value.detach() * share for name, value in losses.items()}

    def _update_weights(self) -> None:
        set_learning_rate(self.optimizer, learning_rate(self.step, self.num_steps, self.recipe.optimizer))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update(self.step)

    def _skip_step(self, batch: Batch, losses: dict[str, Tensor]) -> None:
        """Leave weights, optimizer and EMA alone; give up after too many in a row."""
        self.bad_steps += 1
        self.skipped_steps += 1
        if self.scaler.is_enabled():
            self.scaler.update()  # `unscale_` has noted the overflow: the scale goes down
        self.optimizer.zero_grad()
        if self.bad_steps == 1 and not self.scaler.is_enabled():
            self.progress.warn(f"Step {self.step + 1}: loss or gradient is not finite; the step is skipped.")
        if self.bad_steps >= self.config.max_bad_steps:
            folder = save_capsule(self.keeper.run, self.step, self.module, batch, losses, self.recipe)
            raise TrainingDivergedError(
                f"Loss or gradient was not finite in {self.bad_steps} steps in a row, up to step "
                f"{self.step + 1}. The batch and the weights are kept in '{folder}'.",
                hint="Lower the learning rate (--set optimizer.lr=...) or warm up longer, in a new run.",
            )

    def _evaluation_module(self) -> nn.Module:
        if self.ema is None:
            return self.module.eval()
        self.ema.copy_buffers()
        return self.ema.module

    def _validate(self) -> None:
        with torch.no_grad(), self.precision.autocast(self.device):
            result = self.task.validate(self._evaluation_module(), self.device)
        self.module.train()
        self.validation = self.last_validation = result
        say = self.progress.warn if result.get("better_than_trivial") is False else self.progress.say
        say(f"Step {self.step}: {result['verdict']}")
        self.log.write(self.step, "validation", result)

    def _log_window(self, speed: _Speed) -> None:
        means = self.window.means()
        self.window.clear()
        lr = learning_rate(self.step - 1, self.num_steps, self.recipe.optimizer)
        values = {**means, "lr": lr, "images_seen": self.images_seen, "skipped_steps": self.skipped_steps}
        self.log.write(self.step, "train", {**values, "images_per_second": round(speed.images_per_second, 2)})

    def _save(self) -> None:
        weights: dict[Weights, dict[str, Tensor]] = {"model": self.module.state_dict()}
        if self.ema is not None:
            weights["ema"] = self.ema.state_dict()
        state = {
            "step": self.step,
            "skipped_steps": self.skipped_steps,
            "bad_steps": self.bad_steps,
            "micro_batch": self.micro.size,
            "precision": self.precision.name,
            "window": self.window.state(),
            "last_validation": self.last_validation,
            "scaler": self.scaler.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        self.keeper.save(self.step, self.images_seen, self.validation, weights, state)


class _Speed:
    """Images a second without the time spent on validation, previews and saves; feeds the bar."""

    def __init__(self, trainer: Trainer, bar: ProgressTask) -> None:
        self._trainer, self._bar = trainer, bar
        self._pending = trainer.step
        self._images, self._seconds = 0, 0.0
        self._resumed = self._shown = time.monotonic()

    @property
    def images_per_second(self) -> float:
        return self._images / self._seconds if self._seconds else 0.0

    def after_step(self) -> None:
        """Count one step, and now and then show it."""
        now = time.monotonic()
        self._images += self._trainer.config.batch_size
        self._seconds += now - self._resumed
        self._resumed = now
        self._pending += 1
        if now - self._shown >= BAR_INTERVAL_SECONDS:
            self.show()
            self._shown = now

    def resume(self) -> None:
        """Start the clock again after work that is not training."""
        self._resumed = time.monotonic()

    def show(self) -> None:
        trainer = self._trainer
        left = (trainer.num_steps - trainer.step) * trainer.config.batch_size
        fields = {"images/s": f"{self.images_per_second:.0f}", "memory": memory_text(trainer.device)}
        if self._images:
            fields["ETA"] = duration_text(left / self.images_per_second)
        if isinstance(trainer.task, PhasedTask):
            fields["phase"] = trainer.task.phase_at((trainer.step - 1) / trainer.num_steps)
        if means := trainer.window.means():
            fields["loss"] = number_text(means["loss"])
        self._bar.advance(self._pending, **fields)
        self._pending = 0


def _compile(module: nn.Module) -> None:
    """Compile in place, so that parameter names and checkpoints stay as they are."""
    parts = module.values() if isinstance(module, nn.ModuleDict) else [module]
    for part in parts:
        part.compile()
