"""The loop: accumulation, skipped steps, memory, logs, and exact resumption, on a task without data."""

from __future__ import annotations

import re
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from support.training_parts import LineTask, line_recipe, line_trainer
from torch import Tensor, nn

from facegen.errors import Terminated, TrainingDivergedError, UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.checkpoint_head import list_checkpoints
from facegen.formats.run import RunDirectory
from facegen.progress import SilentProgress
from facegen.protocols import Batch
from facegen.training.batches import DROPOUT_KEYS
from facegen.training.checkpointing import newest_whole_checkpoint


def test_training_lowers_the_loss_and_keeps_last_and_best(tmp_path: Path) -> None:
    trainer = line_trainer(tmp_path, line_recipe(max_steps=60, validate_every_steps=20, keep_last=2))
    trainer.fit()
    losses = [r["loss"] for r in RunDirectory(tmp_path).metrics() if r["group"] == "validation"]
    assert losses[-1] < 0.5 * losses[0]
    assert (trainer.step, trainer.images_seen) == (60, 480)
    kept = [folder.name for folder in list_checkpoints(tmp_path)]
    best = load_checkpoint(tmp_path)
    assert best.info.metrics["loss"] == min(losses)
    assert set(kept) == {"step-00000060", kept[-2], best.folder.name}


def test_a_checkpoint_by_epochs_is_saved_once_the_epochs_are_seen_whole(tmp_path: Path) -> None:
    """20 examples in batches of 8: the first epoch ends within step 3, the second with step 5."""
    length = {"epochs": 5, "validate_every_steps": 100, "keep_last": 9}
    recipe = line_recipe(**length, checkpoint_every_steps=None, checkpoint_every_epochs=1)
    trainer = line_trainer(tmp_path, recipe)
    trainer.fit()
    assert trainer.num_steps == 13
    saved = [int(folder.name.removeprefix("step-")) for folder in list_checkpoints(tmp_path)]
    assert saved == [3, 5, 8, 10, 13]


def test_micro_batches_do_not_change_the_gradients(tmp_path: Path) -> None:
    weights = []
    for name, steps in (("one", 1), ("three", 3)):
        task = LineTask(dropout=0.0)
        trainer = line_trainer(tmp_path / name, line_recipe(max_steps=5, accumulation_steps=steps), task)
        trainer.fit()
        weights.append(torch.cat([p.flatten() for p in trainer.module.parameters()]))
    assert torch.allclose(*weights, atol=1e-5)


def test_the_same_recipe_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    runs = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(len(runs))  # the global generator must not matter
        trainer = line_trainer(tmp_path / name, line_recipe(max_steps=5, seed=seed))
        trainer.fit()
        runs.append(torch.cat([p.flatten() for p in trainer.module.parameters()]))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_training_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    line_trainer(tmp_path, line_recipe(max_steps=2)).fit()
    assert torch.equal(torch.rand(3), expected)


class PoisonedTask(LineTask):
    """Gives a non-finite loss at the steps named."""

    def __init__(self, bad_steps: set[int]) -> None:
        super().__init__()
        self.bad_steps = bad_steps
        self.calls = 0

    def losses(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        self.calls += 1
        losses = super().losses(module, batch)
        return {"loss": losses["loss"] * float("nan")} if self.calls in self.bad_steps else losses


def test_a_non_finite_step_changes_neither_weights_nor_ema(tmp_path: Path) -> None:
    trainer = line_trainer(tmp_path, line_recipe(max_steps=3, log_every_steps=1), PoisonedTask({2, 3}))
    snapshots = []
    plain = trainer._train_step

    def spy(batch: Batch) -> Batch:
        following = plain(batch)
        state = [*trainer.module.state_dict().values()]
        state += [] if trainer.ema is None else [*trainer.ema.module.state_dict().values()]
        snapshots.append(torch.cat([value.flatten().clone() for value in state]))
        return following

    trainer._train_step = spy  # type: ignore[method-assign]
    trainer.fit()
    assert torch.equal(snapshots[0], snapshots[1])
    assert torch.equal(snapshots[0], snapshots[2])
    assert trainer.skipped_steps == 2
    (warned, *_) = trainer.progress.warned  # type: ignore[attr-defined]
    assert warned.startswith("Step 2: loss or gradient is not finite")
    records = [r for r in RunDirectory(tmp_path).metrics() if r["group"] == "train"]
    assert [record["skipped_steps"] for record in records] == [0, 1, 2]


def test_the_recipe_says_how_the_average_warms_up(tmp_path: Path) -> None:
    """By a power it is the weights themselves after the first step."""
    for ema, whole in (({"warmup_power": 0.75}, True), ({}, False)):
        trainer = line_trainer(tmp_path / str(whole), line_recipe(max_steps=1, ema=ema))
        trainer.fit()
        assert trainer.ema is not None
        pairs = zip(trainer.module.parameters(), trainer.ema.module.parameters(), strict=True)
        assert all(torch.equal(weight, average) for weight, average in pairs) == whole


def test_too_many_bad_steps_stop_the_run_with_a_capsule(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    task = PoisonedTask(set(range(4, 100)))
    trainer = line_trainer(tmp_path, line_recipe(max_steps=50, max_bad_steps=5), task)
    with pytest.raises(TrainingDivergedError, match="5 steps in a row, up to step 8"):
        trainer.fit()
    capsule = tmp_path / "capsules" / "step-00000007"
    assert load_file(capsule / "batch.safetensors").keys() == {"x", "y", DROPOUT_KEYS}
    assert load_file(capsule / "model.safetensors").keys() == trainer.module.state_dict().keys()
    assert newest_whole_checkpoint(tmp_path, SilentProgress()) is not None


def test_a_row_of_bad_steps_goes_back_to_the_last_good_weights_and_on_with_the_next_data(
    tmp_path: Path,
) -> None:
    recipe = line_recipe(max_steps=20, checkpoint_every_steps=4, roll_back_after_bad_steps=3)
    task, weights = PoisonedTask({6, 7, 8}), {}
    trainer = line_trainer(tmp_path / "run", recipe, task)
    plain = trainer._look

    def look() -> Any:
        weights[trainer.step] = trainer.module.get_parameter("0.weight").detach().clone()
        found = plain()
        weights[trainer.step, "after"] = trainer.module.get_parameter("0.weight").detach().clone()
        return found

    trainer._look = look  # type: ignore[method-assign]
    trainer.fit()
    assert torch.equal(weights[8], weights[5])
    assert torch.equal(weights[8, "after"], weights[4])
    assert not torch.equal(weights[4], weights[5])
    assert (trainer.step, trainer.skipped_steps, trainer.rollbacks.made) == (20, 3, 1)
    (told,) = [line for line in trainer.progress.warned if "back to" in line]  # type: ignore[attr-defined]
    assert told.startswith("Step 8: 3 steps in a row were not finite; back to the weights of step 4")
    plain_order = line_trainer(tmp_path / "plain", recipe, LineTask())
    plain_order.fit()
    assert task.seen == plain_order.task.seen  # type: ignore[attr-defined]


@pytest.mark.parametrize("stop", [5, 7, 9])
def test_a_run_stopped_around_a_rollback_ends_like_the_undisturbed_one(tmp_path: Path, stop: int) -> None:
    recipe = line_recipe(max_steps=12, checkpoint_every_steps=4, roll_back_after_bad_steps=3)
    bad = {6, 7, 8}
    whole = line_trainer(tmp_path / "whole", recipe, PoisonedTask(bad))
    whole.fit()
    first = line_trainer(tmp_path / "parts", recipe, PoisonedTask(bad))
    plain = first._train_step

    def train_step(batch: Batch) -> Batch:
        if first.step == stop - 1:
            signal.raise_signal(signal.SIGTERM)
        return plain(batch)

    first._train_step = train_step  # type: ignore[method-assign]
    with pytest.raises(Terminated, match=f"after step {stop} of"):
        first.fit()
    second = line_trainer(tmp_path / "parts", recipe, PoisonedTask(bad))
    checkpoint = newest_whole_checkpoint(tmp_path / "parts", SilentProgress())
    assert checkpoint is not None
    second.restore(checkpoint)
    second.task.calls = second.step  # type: ignore[attr-defined]
    second.fit()
    assert second.rollbacks == whole.rollbacks
    for a, b in zip(whole.parameters, second.parameters, strict=True):
        assert torch.equal(a, b)


def test_weights_that_are_lost_again_and_again_stop_the_run(tmp_path: Path) -> None:
    rows = {step for start in range(3, 200, 5) for step in range(start, start + 3)}
    recipe = line_recipe(max_steps=200, checkpoint_every_steps=1, roll_back_after_bad_steps=3, keep_last=9)
    trainer = line_trainer(tmp_path, recipe, PoisonedTask(rows))
    with pytest.raises(TrainingDivergedError, match="3 steps in a row"):
        trainer.fit()
    assert trainer.rollbacks.made == 5
    assert trainer.step == 2 + 5 * 5 + 3


class HungryTask(LineTask):
    """Raises as CUDA does when a micro-batch is larger than `limit`."""

    def __init__(self, limit: int) -> None:
        super().__init__(dropout=0.0)
        self.limit = limit
        self.sizes: list[int] = []

    def losses(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        if len(batch["x"]) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.sizes.append(len(batch["x"]))
        return super().losses(module, batch)


def test_out_of_memory_halves_the_micro_batch_and_keeps_the_batch(tmp_path: Path) -> None:
    recipe = line_recipe(max_steps=4, batch_size=16)
    hungry = line_trainer(tmp_path / "hungry", recipe, HungryTask(limit=5))
    hungry.fit()
    assert hungry.task.sizes == [4] * 16  # type: ignore[attr-defined]
    warned = [line for line in hungry.progress.warned if "Out of memory" in line]  # type: ignore[attr-defined]
    assert warned == ["Out of memory with micro-batches of 16: 4 from now on; the effective batch stays 16."]
    roomy = line_trainer(tmp_path / "roomy", recipe, HungryTask(limit=99))
    roomy.fit()
    for a, b in zip(hungry.parameters, roomy.parameters, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_out_of_memory_with_one_example_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="even with one example at a time"):
        line_trainer(tmp_path, line_recipe(max_steps=2), HungryTask(limit=0)).fit()


def test_other_runtime_errors_are_not_taken_for_lack_of_memory(tmp_path: Path) -> None:
    class BrokenTask(LineTask):
        def losses(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        line_trainer(tmp_path, line_recipe(max_steps=2), BrokenTask()).fit()


def test_the_verdict_is_said_and_a_poor_one_warned_about(tmp_path: Path) -> None:
    class PoorTask(LineTask):
        def validate(self, module: nn.Module, device: Any) -> dict[str, Any]:
            return {"loss": 1.0, "verdict": "no better than zero", "better_than_trivial": False}

    trainer = line_trainer(tmp_path, line_recipe(max_steps=1), PoorTask())
    trainer.fit()
    assert trainer.progress.warned == ["Step 1: no better than zero"]  # type: ignore[attr-defined]


def test_a_loss_out_of_bounds_is_shown_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facegen.training.trainer.BAR_INTERVAL_SECONDS", 0)

    class LostTask(LineTask):
        def losses(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
            return {"loss": super().losses(module, batch)["loss"] * 1e15}

    shown: list[str] = []

    class Bar(SilentProgress):
        def stage(self, title: str, total: int | None = None) -> Any:
            return nullcontext(self)

        def advance(self, count: int = 1, **fields: str) -> None:
            shown.extend(value for name, value in fields.items() if name == "loss")

    trainer = line_trainer(tmp_path, line_recipe(max_steps=2, log_every_steps=9), LostTask())
    trainer.progress = Bar()
    trainer.fit()
    assert re.fullmatch(r"\d(\.\d)?e\+1\d", shown[-1])


def test_previews_get_the_averaged_module_and_training_goes_on(tmp_path: Path) -> None:
    seen: list[tuple[int, bool]] = []
    recipe = line_recipe(max_steps=5, preview_every_steps=2)
    trainer = line_trainer(
        tmp_path, recipe, preview=lambda module, step: seen.append((step, module.training))
    )
    trainer.fit()
    assert seen == [(2, False), (4, False), (5, False)]
    assert trainer.module.training


def test_tensorboard_gets_the_scalars(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    line_trainer(tmp_path, line_recipe(max_steps=4, log_every_steps=2)).fit()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [2, 4]
    assert "validation/loss" in events.Tags()["scalars"]


def test_clipping_bounds_the_update(tmp_path: Path) -> None:
    recipe = line_recipe(max_steps=1, optimizer={"clip_grad_norm": 1e-3})
    trainer = line_trainer(tmp_path, recipe)
    plain = trainer.optimizer.step
    norms: list[float] = []

    def spy(*args: Any, **kwargs: Any) -> Any:
        gradients = [p.grad for p in trainer.parameters if p.grad is not None]
        norms.append(float(nn.utils.get_total_norm(gradients)))
        return plain(*args, **kwargs)

    trainer.optimizer.step = spy  # type: ignore[method-assign]
    trainer.fit()
    assert norms[0] == pytest.approx(1e-3, rel=1e-3)


def test_without_ema_the_plain_weights_are_saved_and_scored(tmp_path: Path) -> None:
    trainer = line_trainer(tmp_path, line_recipe(max_steps=2, ema={"enabled": False}))
    trainer.fit()
    checkpoint = load_checkpoint(tmp_path)
    assert not checkpoint.has_ema
    assert torch.equal(checkpoint.weights("ema")["0.weight"], trainer.module.state_dict()["0.weight"])


def test_an_overflow_lowers_the_loss_scale_and_changes_nothing_else(tmp_path: Path) -> None:
    trainer = line_trainer(tmp_path, line_recipe(max_steps=4), PoisonedTask({2}))
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scales, weights = [], []
    plain = trainer._train_step

    def spy(batch: Batch) -> Batch:
        following = plain(batch)
        scales.append(trainer.scaler.get_scale())
        weights.append(torch.cat([p.detach().flatten() for p in trainer.parameters]))
        return following

    trainer._train_step = spy  # type: ignore[method-assign]
    trainer.fit()
    assert scales == [1024, 512, 512, 512]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])


def test_loss_scaling_does_not_change_the_update(tmp_path: Path) -> None:
    plain = line_trainer(tmp_path / "plain", line_recipe(max_steps=3))
    plain.fit()
    scaled = line_trainer(tmp_path / "scaled", line_recipe(max_steps=3))
    scaled.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaled.fit()
    for a, b in zip(plain.parameters, scaled.parameters, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_a_validation_that_is_not_finite_never_counts_as_best(tmp_path: Path) -> None:
    class UnluckyTask(LineTask):
        calls = 0

        def validate(self, module: nn.Module, device: Any) -> dict[str, Any]:
            self.calls += 1
            loss = [float("nan"), 0.5, float("nan")][self.calls - 1]
            return {"loss": loss, "verdict": "scored"}

    line_trainer(tmp_path, line_recipe(max_steps=3, validate_every_steps=1), UnluckyTask()).fit()
    assert load_checkpoint(tmp_path).info.step == 2
