"""A run that is extended, changed on the way, or begun with another one's weights."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support.tiny_dataset import write_dataset
from support.training_parts import denoising_recipe, write_latents

from facegen.config.recipe import Recipe, parse_recipe
from facegen.errors import Terminated, UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.run import RunDirectory
from facegen.progress import SilentProgress
from facegen.training.options import AS_IT_IS, LifeOptions
from facegen.training.train import train
from facegen.training.trainer import Trainer


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_latents(tmp_path_factory.mktemp("latents"))


def with_rate(recipe: Recipe, **optimizer: Any) -> Recipe:
    return parse_recipe({**recipe.model_dump(), "optimizer": {**recipe.optimizer.model_dump(), **optimizer}})


def constant(latents: Path, **training: Any) -> Recipe:
    return with_rate(denoising_recipe(latents, **training), lr_schedule="constant")


def tensors(run: Path) -> dict[str, Any]:
    checkpoint = load_checkpoint(run, "latest")
    states = checkpoint.training_state()["optimizer"]["state"]
    moments = {f"{n}.{key}": value for n, state in states.items() for key, value in state.items()}
    average = {f"ema.{name}": value for name, value in checkpoint.weights("ema").items()}
    return {**checkpoint.weights("model"), **average, **moments, "step": torch.tensor(checkpoint.info.step)}


def assert_same(one: Path, other: Path) -> None:
    a, b = tensors(one), tensors(other)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@contextmanager
def stopping_after(step: int) -> Iterator[None]:
    """Within it, a training gets SIGTERM in the step `step`, counted from 1."""
    plain = Trainer._train_step

    def spied(self: Trainer, batch: Any) -> Any:
        if self.step == step - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_train_step", spied)
        yield


class PowerCut(Exception):
    """Stands for a process that ends without a farewell."""


@contextmanager
def power_cut() -> Iterator[None]:
    """Within it, no training gets beyond its start."""

    def cut(self: Trainer, batch: Any) -> Any:
        raise PowerCut

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_train_step", cut)
        yield


def stopped(recipe: Recipe, run: Path, step: int, life: LifeOptions = AS_IT_IS) -> None:
    with stopping_after(step), pytest.raises(Terminated):
        train(recipe, run, resume=RunDirectory(run).exists, life=life)


# -- longer


@pytest.mark.parametrize("at", [3, 10])
def test_extended_at_a_constant_rate_a_run_equals_the_longer_one_bit_for_bit(
    tmp_path: Path, latents: Path, at: int
) -> None:
    train(constant(latents, max_steps=16), tmp_path / "whole")
    recipe, run = constant(latents), tmp_path / "run"
    if at < 10:
        stopped(recipe, run, at)
    else:
        train(recipe, run)
    assert train(recipe, run, resume=True, life=LifeOptions(extend=6)).steps == 16
    assert_same(tmp_path / "whole", run)
    (event,) = RunDirectory(run).history()
    assert (event.step, event.changes) == (at, {"training.max_steps": (10, 16)})
    assert RunDirectory(run).recipe().training.max_steps == 16


def test_a_decay_that_has_ended_asks_how_the_rate_goes_on(tmp_path: Path, latents: Path) -> None:
    recipe, run = denoising_recipe(latents), tmp_path / "run"
    train(recipe, run)
    with pytest.raises(UsageError, match="cosine decay of the learning rate ended at step 10") as refused:
        train(recipe, run, resume=True, life=LifeOptions(extend=4))
    assert "--after-decay new-cycle" in str(refused.value)
    assert "--after-decay last-rate" in str(refused.value)
    assert RunDirectory(run).history() == []
    train(recipe, run, resume=True, life=LifeOptions(extend=4, after_decay="last-rate"))
    rates = {r["step"]: r["lr"] for r in RunDirectory(run).metrics() if r["group"] == "train"}
    assert rates[12] == rates[14] == rates[10] > 0
    last = RunDirectory(run).recipe()
    train(last, run, resume=True, life=LifeOptions(extend=10, after_decay="new-cycle"))
    rates = {r["step"]: r["lr"] for r in RunDirectory(run).metrics() if r["group"] == "train"}
    assert [rates[step] for step in (16, 18, 20, 24)] == [rates[step] for step in (2, 4, 6, 10)]


def test_how_the_rate_goes_on_is_refused_where_no_decay_has_ended(tmp_path: Path, latents: Path) -> None:
    train(constant(latents), tmp_path / "run")
    life = LifeOptions(extend=4, after_decay="new-cycle")
    with pytest.raises(UsageError, match="here none has"):
        train(constant(latents), tmp_path / "run", resume=True, life=life)


def test_a_run_told_in_epochs_is_extended_in_steps(tmp_path: Path, latents: Path) -> None:
    recipe = constant(latents, max_steps=None, epochs=2)
    train(recipe, tmp_path / "run")
    assert train(recipe, tmp_path / "run", resume=True, life=LifeOptions(extend=2)).steps == 7
    training = RunDirectory(tmp_path / "run").recipe().training
    assert (training.max_steps, training.epochs) == (7, None)


def test_what_cannot_be_extended_is_refused(tmp_path: Path, latents: Path) -> None:
    with pytest.raises(UsageError, match=r"no run in .* to extend"):
        train(constant(latents), tmp_path / "run", resume=True, life=LifeOptions(extend=4))
    assert not (tmp_path / "run").exists()
    train(constant(latents), tmp_path / "run")
    with pytest.raises(UsageError, match=r"--extend and training\.max_steps both say"):
        train(constant(latents, max_steps=12), tmp_path / "run", resume=True, life=LifeOptions(extend=4))
    with pytest.raises(UsageError, match="made 10 steps already; 7 are fewer"):
        train(constant(latents, max_steps=7), tmp_path / "run", resume=True)


# -- changed


def test_another_batch_size_goes_on_with_the_examples_that_come_next(
    tmp_path: Path, latents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from facegen.tasks.denoising import DenoisingTask
    from facegen.training.data_order import examples_at

    run = tmp_path / "run"
    stopped(constant(latents), run, 3)
    seen: list[int] = []
    plain = DenoisingTask.batch

    def spied(self: DenoisingTask, indices: torch.Tensor, *rest: Any) -> Any:
        seen.extend(indices.tolist())
        return plain(self, indices, *rest)

    monkeypatch.setattr(DenoisingTask, "batch", spied)
    summary = train(constant(latents, batch_size=24), run, resume=True)
    assert seen == examples_at(torch.arange(3 * 16, 3 * 16 + 7 * 24), 40, 0).tolist()
    assert summary.images_seen == 3 * 16 + 7 * 24


def test_changes_are_kept_dated_and_a_run_stopped_after_one_resumes_exactly(
    tmp_path: Path, latents: Path
) -> None:
    changed = with_rate(constant(latents, accumulation_steps=2, batch_size=8), lr=5e-4, clip_grad_norm=0.5)
    for name in ("straight", "parts"):
        stopped(constant(latents), tmp_path / name, 4)
    train(changed, tmp_path / "straight", resume=True)
    stopped(changed, tmp_path / "parts", 7)
    train(RunDirectory(tmp_path / "parts").recipe(), tmp_path / "parts", resume=True)
    assert_same(tmp_path / "straight", tmp_path / "parts")
    (event,) = RunDirectory(tmp_path / "parts").history()
    assert event.changes["optimizer.lr"] == (1e-3, 5e-4)
    assert load_checkpoint(tmp_path / "parts", "latest").training_state()["micro_batch"] == 4
    assert event.date.endswith("+00:00")
    assert load_checkpoint(tmp_path / "parts", "latest").info.recipe["optimizer"]["lr"] == 5e-4


def test_the_line_that_started_a_run_goes_on_with_what_became_of_it(tmp_path: Path, latents: Path) -> None:
    first, run = constant(latents), tmp_path / "run"
    train(first, run)
    train(first, run, resume=True, life=LifeOptions(extend=3))
    again = train(first, run, resume=True, as_started=True)
    assert again.steps == 13
    slower = with_rate(first, lr=1e-4)
    train(slower, run, resume=True, as_started=True, life=LifeOptions(extend=1))
    assert train(slower, run, resume=True, as_started=True).steps == 14
    assert [list(event.changes) for event in RunDirectory(run).history()] == [
        ["training.max_steps"],
        ["optimizer.lr", "training.max_steps"],
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"training": {"seed": 3}}, "training.seed: 0 in the run, 3 now; order and noise"),
        ({"denoiser": {"width": 32}}, "denoiser.width: 16 in the run, 32 now; the weights have this"),
        ({"diffusion": {"parameterisation": "eps"}}, "learned to predict"),
        ({"optimizer": {"weight_decay": 0.1}}, "moments were gathered"),
        ({"ema": {"enabled": False}}, "an average cannot begin"),
    ],
)
def test_what_may_not_change_is_refused_with_the_reason(
    tmp_path: Path, latents: Path, changes: dict[str, Any], told: str
) -> None:
    recipe = denoising_recipe(latents)
    train(recipe, tmp_path / "run")
    data = recipe.model_dump()
    for section, values in changes.items():
        data[section] = {**data[section], **values}
    with pytest.raises(UsageError) as refused:
        train(parse_recipe(data), tmp_path / "run", resume=True)
    assert told in str(refused.value)
    assert "--from" in str(refused.value)


def test_a_recipe_edited_by_hand_is_judged_and_recorded_like_any_other_change(
    tmp_path: Path, latents: Path
) -> None:
    run = RunDirectory(tmp_path / "run")
    train(constant(latents), run.path)

    def edit(section: str, **values: Any) -> None:
        data = yaml.safe_load((run.path / "recipe.yaml").read_text())
        data[section].update(values)
        (run.path / "recipe.yaml").write_text(yaml.safe_dump(data))

    edit("training", max_steps=12)
    train(run.recipe(), run.path, resume=True)
    assert [event.changes for event in run.history()] == [{"training.max_steps": (10, 12)}]
    edit("training", seed=5)
    with pytest.raises(UsageError, match=r"training\.seed: 0 in the run, 5 now"):
        train(run.recipe(), run.path, resume=True)


def test_a_change_whose_checkpoint_is_damaged_counts_from_the_one_before(
    tmp_path: Path, latents: Path
) -> None:
    run = tmp_path / "run"
    stopped(constant(latents, checkpoint_every_steps=2), run, 5)
    changed = with_rate(constant(latents, checkpoint_every_steps=2), lr=5e-4)
    with power_cut(), pytest.raises(PowerCut):
        train(changed, run, resume=True)
    (run / "checkpoints" / "step-00000005" / "model.safetensors").write_bytes(b"damaged")
    train(RunDirectory(run).recipe(), run, resume=True)
    assert [event.step for event in RunDirectory(run).history()] == [4]


# -- started again


def test_a_start_killed_before_its_recipe_is_started_again_by_the_same_command(
    tmp_path: Path, latents: Path
) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    for name in ("run.lock", "environment.json", ".recipe.yaml.host.4194399.tmp"):
        (run / name).write_text("")
    assert train(constant(latents, max_steps=1), run).steps == 1


# -- with another run's weights


def test_a_run_begins_with_the_weights_of_another_and_leaves_that_alone(
    tmp_path: Path, latents: Path
) -> None:
    train(denoising_recipe(latents), tmp_path / "old")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "old").rglob("*")}
    progress = SilentProgress()
    recipe = with_rate(denoising_recipe(latents, max_steps=1, seed=4), lr=1e-12)
    life = LifeOptions(source=tmp_path / "old", weights="model")
    train(recipe, tmp_path / "new", progress=progress, life=life)
    old, new = load_checkpoint(tmp_path / "old"), load_checkpoint(tmp_path / "new")
    for name, value in old.weights("model").items():
        assert torch.allclose(new.weights("model")[name], value, atol=1e-9), name
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "old").rglob("*")} == before
    (event,) = RunDirectory(tmp_path / "new").history()
    assert event.started_from is not None
    assert set(event.started_from["taken"]) == old.weights("model").keys()
    assert any("0 skipped, 0 fresh" in line for line in progress.said)


def test_what_does_not_fit_by_name_or_shape_is_told_and_stays_fresh(tmp_path: Path, latents: Path) -> None:
    train(denoising_recipe(latents), tmp_path / "old")
    recipe = denoising_recipe(latents)
    data = {**recipe.model_dump(), "conditioner": {**(recipe.conditioner or {}), "dim": 12}}
    progress = SilentProgress()
    train(parse_recipe(data), tmp_path / "new", progress=progress, life=LifeOptions(source=tmp_path / "old"))
    (event,) = RunDirectory(tmp_path / "new").history()
    assert event.started_from is not None
    skipped = event.started_from["skipped"]
    assert skipped
    assert all(" there, " in why for why in skipped.values())
    assert set(event.started_from["fresh"]) == set(skipped)
    assert any(line.startswith("  skipped: conditioner.") for line in progress.said)


def test_frozen_parameters_keep_their_weights_also_after_a_stop(tmp_path: Path, latents: Path) -> None:
    train(denoising_recipe(latents), tmp_path / "old")
    recipe = denoising_recipe(latents, freeze=["conditioner.*"], seed=1)
    run, life = tmp_path / "new", LifeOptions(source=tmp_path / "old", weights="model")
    stopped(recipe, run, 3, life)
    train(recipe, run, resume=True, life=life)
    old, new = load_checkpoint(tmp_path / "old"), load_checkpoint(run, "latest")
    for name, value in new.weights("model").items():
        is_kept = torch.equal(value, old.weights("model")[name])
        assert is_kept == name.startswith("conditioner."), name


@pytest.mark.parametrize(
    ("patterns", "told"),
    [(["denoizer.*"], "no parameter matches 'denoizer.*'"), (["*"], "leaves nothing to train")],
)
def test_freezing_nothing_or_everything_is_refused_before_anything_is_made(
    tmp_path: Path, latents: Path, patterns: list[str], told: str
) -> None:
    with pytest.raises(UsageError) as refused:
        train(denoising_recipe(latents, freeze=patterns), tmp_path / "run")
    assert told in str(refused.value)
    assert not RunDirectory(tmp_path / "run").exists


def test_weights_of_another_kind_of_run_are_refused(tmp_path: Path, latents: Path) -> None:
    faces = write_dataset(tmp_path / "faces").folder
    classifier = parse_recipe(
        {
            "task": {"kind": "attribute_classification", "widths": [4, 8]},
            "data": {"path": str(faces)},
            "training": {"max_steps": 1, "batch_size": 4},
        }
    )
    train(classifier, tmp_path / "judge")
    with pytest.raises(UsageError, match="was trained for the task 'attribute_classification'"):
        train(denoising_recipe(latents), tmp_path / "run", life=LifeOptions(source=tmp_path / "judge"))
    train(denoising_recipe(latents, max_steps=1), tmp_path / "old")
    unet = {"kind": "unet", "base_channels": 8, "channel_multipliers": [1], "self_attention_levels": []}
    data = denoising_recipe(latents).model_dump()
    other = parse_recipe({**data, "denoiser": unet, "conditioner": {"kind": "none"}})
    with pytest.raises(UsageError, match=r"none of its \d+ tensors fits"):
        train(other, tmp_path / "run", life=LifeOptions(source=tmp_path / "old"))
    assert not RunDirectory(tmp_path / "run").exists


def test_a_run_killed_before_its_first_checkpoint_begins_again_with_the_same_weights(
    tmp_path: Path, latents: Path
) -> None:
    train(denoising_recipe(latents), tmp_path / "old")
    recipe, life = denoising_recipe(latents, seed=1), LifeOptions(source=tmp_path / "old")
    train(recipe, tmp_path / "whole", life=life)
    with power_cut(), pytest.raises(PowerCut):
        train(recipe, tmp_path / "cut", life=life)
    train(recipe, tmp_path / "cut", resume=True, life=life)
    assert_same(tmp_path / "whole", tmp_path / "cut")


def test_a_run_that_began_otherwise_does_not_take_weights_when_resumed(tmp_path: Path, latents: Path) -> None:
    recipe = denoising_recipe(latents, max_steps=1)
    for name in ("old", "run"):
        train(recipe, tmp_path / name)
    with pytest.raises(UsageError, match="--from starts a new run"):
        train(recipe, tmp_path / "run", resume=True, life=LifeOptions(source=tmp_path / "old"))
