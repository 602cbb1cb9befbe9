"""The training loop: everything about training that does not depend on what is trained."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from signal import Signals
from typing import Any

import torch
from torch import Tensor, nn

from facegen.config.recipe import Recipe
from facegen.errors import LostProcessError, Terminated, TrainingDivergedError, UsageError
from facegen.formats.checkpoint import Checkpoint, Stored
from facegen.nn.sample_dropout import with_sample_dropout
from facegen.processes import world
from facegen.protocols import Batch, PhasedTask, Progress, ProgressTask, TrainingTask
from facegen.signals import StopSignals, exit_code_of
from facegen.training.batches import Batches, set_dropout_keys
from facegen.training.capsule import save_capsule
from facegen.training.checkpointing import CheckpointKeeper
from facegen.training.compiling import Way, call_as, fastest_way, machine_of, worth_trying
from facegen.training.data_order import seed_for
from facegen.training.ema import Ema
from facegen.training.freezing import freeze
from facegen.training.history import RunHistory
from facegen.training.logs import LossWindow, TrainingLog, duration_text, memory_text
from facegen.training.micro_batches import MicroBatches, cut_alike
from facegen.training.optimizer import build_optimizer, set_learning_rate
from facegen.training.parallel import Replicas, is_denoiser, spread
from facegen.training.power_ema import PowerEmas
from facegen.training.precision import Precision, choose_precision
from facegen.training.rollback import Rollbacks, last_good_checkpoint
from facegen.training.scoring import Scorer, Scoring
from facegen.watch import Watch
from facegen.wording import number_text

BAR_INTERVAL_SECONDS = 0.5  # the bar reads the loss, which makes the device catch up
LOOK_EVERY_STEPS = 10  # on an accelerator: looking whether a step was finite makes the host wait for it

Preview = Callable[[nn.Module, int], None]
"""Draw samples with the averaged module after a step."""


def build_seeded(build: Callable[[], Any], seed: int, purpose: str = "weights") -> Any:
    """Build what has weights that depend on seed and purpose alone; the global generator stays untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(purpose, seed))
        return build()


class Trainer:
    """Trains a task's module, and owns loop, order, precision, accumulation, EMA and checkpoints.

    Every step is a pure function of the state before it and of (seed, step), so a resumed run on the same
    CPU repeats the uninterrupted one bit for bit, and several processes do what one alone does, but for the
    order in which numbers are added up. The first of them writes and talks.
    """

    def __init__(
        self,
        task: TrainingTask,
        recipe: Recipe,
        keeper: CheckpointKeeper,
        progress: Progress,
        device: torch.device,
        preview: Preview | None = None,
        history: RunHistory | None = None,
        scorer: Scorer | None = None,
    ) -> None:
        self.task, self.recipe, self.keeper = task, recipe, keeper
        self.progress, self.device, self.preview = progress, device, preview
        self.config, self.world = recipe.training, world()
        self.history = history or RunHistory(recipe, task.num_examples)
        self.num_steps = self.history.num_steps
        self.precision = choose_precision(self.config.precision, device)
        module = build_seeded(task.build_module, self.config.seed)
        if self.precision.dtype == torch.float64 and not is_denoiser(module):
            raise UsageError("fp64 is for denoisers.", hint="Use --set training.precision=fp32")
        module = module.to(device, self.precision.dtype)
        self.frozen = freeze(module, self.config.freeze)
        self.dropouts = with_sample_dropout(module)
        self.batches = Batches(
            task,
            self.config.seed,
            self.config.batch_size,
            self.world,
            device,
            self.precision.dtype,
            len(self.dropouts),
        )
        self.spread = spread(self.config.parallel, task, module, self.world, device)
        self.module = self.spread.module
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]
        average = self.spread.copy() if recipe.ema.enabled else None
        self.ema = None
        if average is not None:
            self.ema = Ema(self.module, average, recipe.ema.decay, recipe.ema.warmup_power)
        self.weak: dict[str, Tensor] | None = None  # averaged weights of `weak_step`, for autoguidance
        share = self.config.weak_at
        self.weak_step = None if share is None else max(1, round(share * self.num_steps))
        self.power_emas = PowerEmas(recipe.ema, self.module, keeper.run, self.num_steps)
        self.optimizer = build_optimizer(self.module, recipe.optimizer, self.precision.compute_dtype)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision.uses_scaler)
        self.micro = MicroBatches(
            self.batches.share, self.config.accumulation_steps, progress, alone=not self.world.is_many
        )
        self.log = TrainingLog(keeper.run, recipe) if self.world.is_first else None
        self.scoring = Scoring(recipe.scoring, scorer, progress, self.world)
        self.window = LossWindow(self.world)
        self.signals, self.watch = StopSignals(), Watch(self.world)
        self.rollbacks = Rollbacks(self.config.roll_back_after_bad_steps)
        self.look_every = 1 if device.type == "cpu" else LOOK_EVERY_STEPS
        self.step = 0  # optimizer steps done, skipped ones included
        # What a step leaves on the device: non-finite steps in a row, and all of them; a signal's number.
        self._flags = torch.zeros(3, device=device)
        self.skipped_steps = 0  # when the host last looked
        self.validation: dict[str, Any] = {}  # of the current step, else empty
        self.last_validation: dict[str, Any] = {}
        self.way: Way | None = None  # of calling the network: found out at the first step
        self.tried_on: str | None = None  # the machine on which it was

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint: weights, EMA, optimizer, scaler and counters."""
        state = checkpoint.training_state()
        self._take_weights(checkpoint, state)
        self.weak = checkpoint.weak_weights()
        if self.config.precision == "auto" and state["precision"] != self.precision.name:
            self.precision = Precision(
                state["precision"], f"{state['precision']}, as before the interruption"
            )
            self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision.uses_scaler)
        if state["scaler"]:  # empty where the precision before needed none
            self.scaler.load_state_dict(state["scaler"])
        if cut_alike(checkpoint.info.recipe, self.recipe):
            self.micro.size = min(self.micro.size, state["micro_batch"])
        self.window.load_state(state["window"], self.device)
        self.step, self.skipped_steps = state["step"], state["skipped_steps"]
        self._flags = self._flags.new_tensor([state["bad_steps"], self.skipped_steps, 0])
        self.rollbacks.load_state(state)
        self.last_validation = state["last_validation"]
        self.scoring.load_state(state.get("scoring"))
        self.validation = checkpoint.info.metrics
        self.way, self.tried_on = state.get("way"), state.get("tried_on")

    def _take_weights(self, checkpoint: Checkpoint, state: dict[str, Any]) -> None:
        self.spread.load(self.module, checkpoint.weights("model"))
        if self.ema is not None:
            self.spread.load(self.ema.module, checkpoint.weights("ema"))
        if "power_emas" in state:  # checkpoints from before there were any have none
            self.power_emas.load_state_dict(state["power_emas"])
        self.spread.load_optimizer(self.optimizer, state["optimizer"])

    def fit(self) -> float:
        """Train to the end of the run; returns the seconds that took.

        Raises:
            Terminated: a signal asked to stop; a checkpoint was saved first.
            TrainingDivergedError: `max_bad_steps` non-finite steps in a row.
            StorageError: a checkpoint could not be written; earlier ones stand.
            LostProcessError: another process was killed, failed or hangs.
        """
        started = time.monotonic()
        devices = [self.device] if self.device.type == "cuda" else []
        try:
            with (
                self.signals,
                torch.random.fork_rng(devices=devices),
                self.progress.stage("Training", total=self.num_steps) as bar,
                self.watch,
            ):
                self._loop(bar)
        finally:
            if self.log is not None:
                self.log.close()
        return time.monotonic() - started

    @property
    def images_seen(self) -> int:
        return self.history.position(self.step)

    def _loop(self, bar: ProgressTask) -> None:
        try:
            self._steps(_Speed(self, bar))
        except (RuntimeError, LostProcessError) as error:
            if lost := self.watch.who_is_lost():  # a collective fails with whatever its library says
                raise lost from error
            raise

    def _steps(self, speed: _Speed) -> None:
        self.module.train()
        batch = self._load_batch(self.step)
        self._choose_compilation(batch)
        while self.step < self.num_steps and self.scoring.stopped is None:
            self.watch.at(self.step + 1, "in")
            batch = self._train_step(batch)
            speed.after_step()
            stopping = self._look() if self._is_due(self.look_every) or self._something_is_due() else None
            self._after_step(speed, stopping=stopping is not None)
            if stopping is not None and self.step < self.num_steps and self.scoring.stopped is None:
                raise Terminated(
                    f"{stopping.name}: stopped after step {self.step} of {self.num_steps}; "
                    "its checkpoint is saved.",
                    exit_code=exit_code_of(stopping),
                )
        speed.show()

    def _is_due(self, every_steps: int | None) -> bool:
        return every_steps is not None and (self.step % every_steps == 0 or self.step == self.num_steps)

    def _something_is_due(self) -> bool:
        config = self.config
        every = (config.log_every_steps, config.validate_every_steps, config.preview_every_steps)
        scoring = self.scoring.is_due(self.step, last=False)
        return any(self._is_due(steps) for steps in every) or scoring or self._checkpoint_is_due()

    def _after_step(self, speed: _Speed, *, stopping: bool) -> None:
        config = self.config
        self.power_emas.after_step(self.step)
        if self.step == self.weak_step and self.weak is None:
            self.weak = {name: value.detach().cpu().clone() for name, value in self._averaged().items()}
        self.validation = {}
        self.scoring.begin_step()
        if self._is_due(config.log_every_steps):
            self._log_window(speed)
        validating, previewing = (
            self._is_due(steps) for steps in (config.validate_every_steps, config.preview_every_steps)
        )
        scoring = self.scoring.is_due(self.step, last=self.step == self.num_steps)
        best = False
        if validating or previewing or scoring:
            module = self._evaluation_module()
            best = self._judge(module, validating=validating, scoring=scoring)
            if previewing and self.preview:
                self.watch.at(self.step, "drawing after")
                self.preview(module, self.step)
                if self.log is not None:
                    self.log.show_preview(self.step)
            self.module.train()
        last = self.step == self.num_steps or self.scoring.stopped is not None
        planned = best or self._checkpoint_is_due()
        if planned or stopping or last:
            self._save(planned=planned)
        speed.resume()

    def _checkpoint_is_due(self) -> bool:
        config = self.config
        if config.checkpoint_every_steps is not None:
            return self.step % config.checkpoint_every_steps == 0
        # the first step after which so many epochs more are seen whole; a step may reach into the next one
        images = (config.checkpoint_every_epochs or 1) * self.task.num_examples
        return self.images_seen // images > (self.images_seen - config.batch_size) // images

    def _load_batch(self, step: int) -> Batch:
        batch = self.batches.load(self.history.position(step))
        if isinstance(self.task, PhasedTask):
            batch["done"] = torch.full((self.batches.share,), self.history.share(step))
        return batch

    def _choose_compilation(self, batch: Batch) -> None:
        """Settle how the network is called, as the recipe asks, as before, or by trying."""
        asked, left = self.config.compile, self.num_steps - self.step
        tries = worth_trying(self.device.type, left) and isinstance(self.spread, Replicas)
        if asked != "auto" or not tries:
            self.way = "compiled" if asked is True else "eager"
        elif self.way is None or self.tried_on != machine_of(self.device):
            chosen = fastest_way(
                self.module,
                lambda way: self._trial(batch, way),
                left,
                self.precision.compute_dtype,
                self.world,
                self.device.type,
            )
            self.way, self.tried_on = chosen.way, machine_of(self.device) if chosen.tried else None
            if chosen.tried:
                self.progress.say(f"Network {chosen.way}: {chosen.reason}.")
        call_as(self.way, self.module)

    def _trial(self, batch: Batch, way: Way) -> Tensor:
        """Loss and norm of the gradient (2,) of this process's part of a batch; the gradient is dropped.

        Raises:
            MemoryError: called so, the micro-batches that fit otherwise do not.
        """
        self.watch.at(self.step, f"trying the network {way} before")
        self.way, size = way, self.micro.size
        losses = self.micro.run(
            batch, lambda piece, share, _: self._backward(piece, share, False), self.optimizer.zero_grad
        )
        if way != "eager" and self.micro.size < size:
            self.micro.size = size
            raise MemoryError(f"not enough memory for micro-batches of {size}")
        norm: Any = nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        found = torch.stack([losses["loss"], norm]).tolist()
        self.optimizer.zero_grad()
        return torch.tensor(found)

    def _train_step(self, batch: Batch) -> Batch:
        """Make one optimizer step; return the next batch, loaded while the device was busy."""
        # For modules with chances of their own; what this package draws belongs to samples.
        torch.manual_seed(seed_for("module", self.config.seed, self.step * self.world.size + self.world.rank))
        losses = self.micro.run(batch, self._backward, self.optimizer.zero_grad)
        self.scaler.unscale_(self.optimizer)
        clip = self.recipe.optimizer.clip_grad_norm
        norm: Any = nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm  # of shards
        if clip is not None:
            nn.utils.clip_grads_with_norm_(self.parameters, clip, norm)
        skipped = self._count(norm + losses["loss"])
        following = self._load_batch(self.step + 1) if self.step + 1 < self.num_steps else {}
        self._update_weights(skipped)
        self.window.add({**losses, "grad_norm": norm}, skipped)
        self.step += 1
        self._last = batch, losses
        return following

    def _backward(self, micro_batch: Batch, share: float, last: bool) -> dict[str, Tensor]:
        set_dropout_keys(self.dropouts, micro_batch)
        if self.way == "graphs":  # what the last replay left may be written over
            torch.compiler.cudagraph_mark_step_begin()
        with self.spread.accumulating(last=last):
            with self.precision.autocast(self.device):
                losses = self.spread.losses(micro_batch)
            self.scaler.scale(losses["loss"] * share).backward()
        return {name: value.detach() * share for name, value in losses.items()}

    def _count(self, total: Tensor) -> Tensor:
        """Note whether the step is finite and whether a signal came, in any process; 1 where it is not."""
        asked = self.signals.requested or 0
        now = torch.stack([(~torch.isfinite(total)).float(), total.new_full((), asked, dtype=torch.float32)])
        skipped, signal = self.world.largest(now).unbind()
        in_a_row, skipped_steps, _ = self._flags.unbind()
        self._flags = torch.stack([(in_a_row + 1) * skipped, skipped_steps + skipped, signal])
        return skipped

    def _update_weights(self, skipped: Tensor) -> None:
        """Step optimizer and EMA, which leave all as it is where the step is skipped."""
        set_learning_rate(self.optimizer, self.history.learning_rate(self.step))
        optimizer: Any = self.optimizer
        optimizer.grad_scale, optimizer.found_inf = None, skipped  # what torch's fused optimizers look at
        optimizer.step()
        if self.scaler.is_enabled():
            self.scaler.update()  # `unscale_` has noted an overflow: the scale goes down
        optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update(self.step, skipped)
        self.power_emas.update(skipped)

    def _look(self) -> Signals | None:
        """Read what the last steps left on the device; the signal that asked to stop, if one did.

        Raises:
            TrainingDivergedError: too many non-finite steps in a row.
        """
        in_a_row, skipped_steps, signal = (int(value) for value in self._flags.tolist())
        if (
            skipped_steps > self.skipped_steps
            and in_a_row <= self.look_every
            and not self.scaler.is_enabled()
        ):
            where = f"Step {self.step}" if self.look_every == 1 else f"Up to step {self.step}"
            self.progress.warn(f"{where}: loss or gradient is not finite; the step is skipped.")
        self.skipped_steps = skipped_steps
        rolls_back = self.rollbacks.is_due(in_a_row)
        if in_a_row >= self.config.max_bad_steps or (rolls_back and self.rollbacks.are_used_up):
            batch, losses = self._last
            folder = self.world.first(
                lambda: save_capsule(
                    self.keeper.run,
                    self.step - 1,
                    self.module,
                    batch,
                    losses,
                    self.recipe,
                    self.precision.name,
                )
            )
            raise TrainingDivergedError(
                f"Loss or gradient was not finite in {in_a_row} steps in a row, up to step "
                f"{self.step}. The batch and the weights are kept in '{folder}'.",
                hint=f"See where it began: facegen replay {folder}\n"
                "Lower the learning rate (--set optimizer.lr=...) or warm up longer, in a new run.",
            )
        if rolls_back:
            self._roll_back(in_a_row)
        return Signals(signal) if signal else None

    def _roll_back(self, in_a_row: int) -> None:
        """Take weights, averages and optimizer of the last good checkpoint, if there is one."""
        checkpoint = self.world.first(lambda: last_good_checkpoint(self.keeper.run.path))
        if checkpoint is None:
            return
        self._take_weights(checkpoint, checkpoint.training_state())
        self.rollbacks.made += 1
        self.progress.warn(
            f"Step {self.step}: {in_a_row} steps in a row were not finite; back to the weights of step "
            f"{checkpoint.info.step}, and on with the data that come next."
        )

    def _evaluation_module(self) -> nn.Module:
        """The averaged module, whole, as the first process can use it alone."""
        if self.ema is not None:
            self.ema.copy_buffers()
        module = self.spread.whole(self.module if self.ema is None else self.ema.module)
        if module is self.module and self.way != "eager":  # drawing has other shapes, and replays write over
            module = deepcopy(module)  # which is called as it is
        return deepcopy(module).float() if self.precision.dtype == torch.float64 else module.eval()

    def _judge(self, module: nn.Module, *, validating: bool, scoring: bool) -> bool:
        """Score on held-out data, and the faces that the module draws; whether that is the best so far."""
        self.watch.at(self.step, "judging after")

        def judge() -> tuple[dict[str, Any], bool]:
            found = self._validate(module) if validating else {}
            assert self.log is not None
            if scoring:
                self.scoring.score(module, self.step, self.log)
            return found, self.keeper.is_best(self.scoring.take_note(self.step, found, self.log))

        found, best = self.world.first(judge)
        self.scoring.follow()
        if validating:
            self.validation = self.last_validation = found
        return best

    def _validate(self, module: nn.Module) -> dict[str, Any]:
        with torch.no_grad(), self.precision.autocast(self.device):
            result = self.task.validate(module, self.device)
        say = self.progress.warn if result.get("better_than_trivial") is False else self.progress.say
        say(f"Step {self.step}: {result['verdict']}")
        self._write_log("validation", result)
        return result

    def _log_window(self, speed: _Speed) -> None:
        means = self.window.means()
        self.window.clear()
        lr = self.history.learning_rate(self.step - 1)
        values = {**means, "lr": lr, "images_seen": self.images_seen, "skipped_steps": self.skipped_steps}
        self._write_log("train", {**values, "images_per_second": round(speed.images_per_second, 2)})

    def _write_log(self, group: str, values: dict[str, Any]) -> None:
        if self.log is not None:
            self.log.write(self.step, group, values)

    def _averaged(self) -> dict[str, Tensor]:
        """The averaged weights, or those as trained where nothing is averaged."""
        if self.ema is None:
            return self.spread.weights(self.module)
        self.ema.copy_buffers()
        return self.spread.weights(self.ema.module)

    def _save(self, *, planned: bool) -> None:
        self.watch.at(self.step, "saving after")
        weights: dict[Stored, dict[str, Tensor]] = {"model": self.spread.weights(self.module)}
        if self.ema is not None:
            weights["ema"] = self._averaged()
        if self.weak is not None:
            weights["weak"] = self.weak
        state = {
            "step": self.step,
            "skipped_steps": self.skipped_steps,
            "bad_steps": int(self._flags[0]),
            "rollbacks": self.rollbacks.made,
            "planned": planned,
            "micro_batch": self.micro.size,
            "precision": self.precision.name,
            "way": self.way,
            "tried_on": self.tried_on,
            "window": self.window.state(),
            "last_validation": self.last_validation,
            "scoring": self.scoring.state(),
            "scaler": self.scaler.state_dict(),
            "optimizer": self.spread.optimizer_state(self.optimizer),
            "power_emas": self.power_emas.state_dict(),
        }
        scored = (self.scoring.scores, self.scoring.chosen)
        self.world.first(
            lambda: self.keeper.save(self.step, self.images_seen, self.validation, weights, state, *scored)
        )


class _Speed:
    """Images a second without the time spent on validation, previews, scores and saves; feeds the bar."""

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
            fields["phase"] = trainer.task.phase_at(trainer.history.share(trainer.step - 1))
        if (loss := trainer.window.own("loss")) is not None:
            fields["loss"] = number_text(loss)
        self._bar.advance(self._pending, **fields)
        self._pending = 0
