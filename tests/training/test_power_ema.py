"""Averages kept beside the weights: what moves them, when they are written, and exact resumption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.training_parts import LineTask, denoising_recipe, line_recipe, line_trainer, write_latents
from torch import Tensor, nn

from facegen.config.recipe import Recipe, parse_recipe
from facegen.errors import UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.checkpoint_head import list_checkpoints
from facegen.formats.ema_snapshots import EmaSnapshots
from facegen.protocols import Batch
from facegen.training.ema_profiles import exponent_of
from facegen.training.train import estimate, train
from facegen.training.trainer import Trainer

WIDTHS = {"widths": [0.05, 0.1], "snapshots": 4}


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_latents(tmp_path_factory.mktemp("latents"))


def averaging(latents: Path, **training: Any) -> Recipe:
    recipe = denoising_recipe(latents, **training).model_dump(mode="json")
    return parse_recipe({**recipe, "ema": {"decay": 0.99, **WIDTHS}})


def snapshot_files(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / "ema").iterdir())}


class Cut(Exception):
    """Stands for a process that ends between two steps, without a farewell."""


def cut_before(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Trainer._train_step

    def spied(self: Trainer, batch: Any) -> Any:
        if self.step == step - 1:
            raise Cut
        return plain(self, batch)

    monkeypatch.setattr(Trainer, "_train_step", spied)


def test_an_average_is_the_profile_weighted_sum_of_all_steps(tmp_path: Path) -> None:
    trainer = line_trainer(tmp_path, line_recipe(max_steps=12, ema=WIDTHS))
    seen: list[Tensor] = []
    plain = trainer.power_emas.update

    def spy(skipped: torch.Tensor) -> None:
        plain(skipped)
        seen.append(trainer.module.state_dict()["0.weight"].double().clone())

    trainer.power_emas.update = spy  # type: ignore[method-assign]
    trainer.fit()
    ends = torch.arange(13, dtype=torch.float64) / 12
    for width, average in trainer.power_emas.state_dict()["averages"].items():
        shares = (ends ** (exponent_of(width) + 1)).diff()
        expected = (shares.view(-1, 1, 1) * torch.stack(seen)).sum(0)
        assert torch.allclose(average["0.weight"].double(), expected, rtol=1e-5)


def test_averages_do_not_change_training(tmp_path: Path) -> None:
    weights = []
    for name, ema in (("with", WIDTHS), ("without", {})):
        trainer = line_trainer(tmp_path / name, line_recipe(max_steps=6, ema=ema))
        trainer.fit()
        weights.append(torch.cat([p.flatten() for p in trainer.module.parameters()]))
    assert torch.equal(*weights)
    assert not (tmp_path / "without" / "ema").exists()


def test_a_skipped_step_moves_no_average_and_no_time(tmp_path: Path) -> None:
    class Poisoned(LineTask):
        calls = 0

        def losses(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
            self.calls += 1
            return {"loss": super().losses(module, batch)["loss"] * (torch.nan if self.calls > 2 else 1)}

    trainer = line_trainer(tmp_path, line_recipe(max_steps=4, ema=WIDTHS), Poisoned())
    trainer.fit()
    assert trainer.power_emas.updates == 2
    found = EmaSnapshots(tmp_path).all()
    assert [(one.step, one.updates) for one in found] == [(1, 1), (2, 2), (3, 2), (4, 2)]
    assert found[1].sha256 == found[3].sha256


@pytest.mark.parametrize(
    ("steps", "snapshots", "expected"),
    [(12, 4, [3, 6, 9, 12]), (10, 3, [4, 7, 10]), (3, 8, [1, 2, 3]), (5, 1, [5])],
)
def test_snapshots_are_spread_evenly_up_to_the_last_step(
    tmp_path: Path, steps: int, snapshots: int, expected: list[int]
) -> None:
    recipe = line_recipe(max_steps=steps, ema={"widths": [0.1], "snapshots": snapshots})
    line_trainer(tmp_path, recipe).fit()
    assert [one.step for one in EmaSnapshots(tmp_path).all()] == expected


@pytest.mark.parametrize("step", [2, 5, 9, 10])
def test_resuming_reproduces_averages_and_snapshots_bit_for_bit(
    tmp_path: Path, latents: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    recipe = averaging(latents)
    train(recipe, tmp_path / "whole", device="cpu")
    with monkeypatch.context() as patch:
        cut_before(step, patch)
        with pytest.raises(Cut):
            train(recipe, tmp_path / "cut", device="cpu")
    train(recipe, tmp_path / "cut", resume=True, device="cpu")
    whole, cut = (
        load_checkpoint(tmp_path / name, "latest").training_state()["power_emas"] for name in ("whole", "cut")
    )
    assert whole["updates"] == cut["updates"] == 10
    for width, average in whole["averages"].items():
        assert all(torch.equal(tensor, cut["averages"][width][name]) for name, tensor in average.items())
    assert snapshot_files(tmp_path / "whole") == snapshot_files(tmp_path / "cut")


def test_falling_back_to_an_earlier_checkpoint_drops_later_snapshots(
    tmp_path: Path, latents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = averaging(latents)
    train(recipe, tmp_path / "run", device="cpu")
    whole = snapshot_files(tmp_path / "run")
    for folder in list_checkpoints(tmp_path / "run")[1:]:
        (folder / "training_state.pt").write_bytes(b"lost")
    fallen_to = load_checkpoint(list_checkpoints(tmp_path / "run")[0]).info.step
    with monkeypatch.context() as patch:
        cut_before(fallen_to + 1, patch)
        with pytest.raises(Cut):
            train(recipe, tmp_path / "run", resume=True, device="cpu")
    steps = [one.step for one in EmaSnapshots(tmp_path / "run").all()]
    assert steps == [step for step in (3, 5, 8, 10) if step <= fallen_to]
    assert len(snapshot_files(tmp_path / "run")) == len(steps) + 1  # and the index
    train(recipe, tmp_path / "run", resume=True, device="cpu")
    assert snapshot_files(tmp_path / "run") == whole


def test_the_estimate_counts_the_averages(latents: Path) -> None:
    with_widths, without = estimate(averaging(latents)), estimate(denoising_recipe(latents))
    assert with_widths.memory_bytes - without.memory_bytes == 2 * 4 * without.parameters
    assert with_widths.checkpoint_bytes > without.checkpoint_bytes


@pytest.mark.parametrize(
    ("ema", "told"),
    [
        ({"widths": [0.3]}, r"ema\.widths\.0"),
        ({"widths": [0.0]}, r"ema\.widths\.0"),
        ({"widths": [0.1, 0.1]}, "names a width twice"),
        ({"widths": [0.1], "enabled": False}, "enabled"),
        ({"widths": [0.1], "snapshots": 0}, r"ema\.snapshots"),
    ],
)
def test_widths_that_make_no_sense_are_refused(latents: Path, ema: dict[str, Any], told: str) -> None:
    recipe = denoising_recipe(latents).model_dump(mode="json")
    with pytest.raises(UsageError, match=told):
        parse_recipe({**recipe, "ema": ema})
