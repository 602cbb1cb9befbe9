"""A task with phases is told how far the run is, shows its phase, and resumes exactly through one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from support.training_parts import LineTask, line_recipe, line_trainer
from torch import Tensor, nn

from facegen.formats.run import RunDirectory
from facegen.processes import World
from facegen.progress import SilentProgress
from facegen.protocols import Batch
from facegen.training.batches import DROPOUT_KEYS
from facegen.training.checkpointing import newest_whole_checkpoint
from facegen.training.logs import LossWindow
from facegen.training.trainer import Trainer

DONE = torch.zeros(())  # a step that was not skipped


class TwoPhases(LineTask):
    """Has a second loss in the second half of the run. `told` logs what each step's batch says."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[float] = []

    def phase_at(self, done: float) -> str:
        return "late" if done >= 0.5 else "early"

    def losses(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        assert batch["done"].shape == batch["x"].shape[:1]
        assert batch["done"].dtype == torch.float32
        self.told.append(batch["done"][0].item())
        losses = super().losses(module, batch)
        if self.told[-1] < 0.5:
            return losses
        size = torch.stack([p.square().sum() for p in module.parameters()]).sum()
        return {"loss": losses["loss"] + 1e-3 * size, "size": size}


def test_every_batch_says_which_share_of_the_run_is_done(tmp_path: Path) -> None:
    task = TwoPhases()
    line_trainer(tmp_path, line_recipe(max_steps=8), task).fit()
    assert task.told == [step / 8 for step in range(8)]


def test_a_task_without_phases_gets_nothing_more(tmp_path: Path) -> None:
    trainer = line_trainer(tmp_path, line_recipe(max_steps=2))
    assert set(trainer._load_batch(0)) == {"x", "y", DROPOUT_KEYS}


def test_the_bar_shows_the_phase_of_the_last_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facegen.training.trainer.BAR_INTERVAL_SECONDS", 0.0)
    trainer = line_trainer(tmp_path, line_recipe(max_steps=4), TwoPhases())
    shown: list[str | None] = []
    plain = Trainer._loop

    def loop(self: Trainer, bar: Any) -> None:
        class Spy:
            def advance(self, count: int = 1, **fields: str) -> None:
                shown.append(fields.get("phase"))
                bar.advance(count, **fields)

        plain(self, Spy())

    monkeypatch.setattr(Trainer, "_loop", loop)
    trainer.fit()
    assert shown == ["early", "early", "late", "late", "late"]  # the last one at the end of the bar


def test_a_run_resumed_before_a_boundary_equals_the_uninterrupted_one(tmp_path: Path) -> None:
    recipe = line_recipe(max_steps=8, checkpoint_every_steps=3, log_every_steps=8)
    whole = line_trainer(tmp_path / "whole", recipe, TwoPhases())
    whole.fit()
    cut = line_trainer(tmp_path / "cut", recipe, TwoPhases())
    cut.num_steps = 8
    for _ in range(3):
        cut._train_step(cut._load_batch(cut.step))
    cut._save(planned=True)
    resumed = line_trainer(tmp_path / "cut", recipe, TwoPhases())
    checkpoint = newest_whole_checkpoint(tmp_path / "cut", SilentProgress())
    assert checkpoint is not None
    resumed.restore(checkpoint)
    resumed.fit()
    for a, b in zip(whole.parameters, resumed.parameters, strict=True):
        assert torch.equal(a, b)
    logs = [
        [(r["loss"], r["size"]) for r in RunDirectory(tmp_path / name).metrics() if r["group"] == "train"]
        for name in ("whole", "cut")
    ]
    assert logs[0] == logs[1]


def test_a_loss_that_begins_inside_a_window_is_averaged_over_its_own_steps() -> None:
    window = LossWindow(World())
    window.add({"loss": torch.tensor(1.0)}, DONE)
    window.add({"loss": torch.tensor(3.0), "kl": torch.tensor(5.0)}, DONE)
    window.add({"loss": torch.tensor(math.nan)}, skipped=torch.ones(()))
    assert window.means() == {"loss": 2.0, "kl": 5.0}
    again = LossWindow(World())
    again.load_state(window.state(), torch.device("cpu"))
    again.add({"loss": torch.tensor(5.0), "kl": torch.tensor(7.0)}, DONE)
    assert again.means() == {"loss": 3.0, "kl": 6.0}


def test_a_window_saved_before_losses_were_counted_apart_is_read() -> None:
    window = LossWindow(World())
    window.load_state({"sums": {"loss": torch.tensor(6.0)}, "steps": 3}, torch.device("cpu"))
    assert window.means() == {"loss": 2.0}
