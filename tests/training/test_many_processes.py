"""Several processes train what one does: the same examples, numbers, losses and weights; and their faults."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from support.processes import Processes, run_processes
from support.tiny_dataset import write_dataset
from support.training_parts import LineTask, denoising_recipe, write_latents
from torch import Tensor

from facegen.config.composition import compose
from facegen.config.recipe import Recipe
from facegen.errors import LostProcessError, UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.checkpoint_head import list_checkpoints
from facegen.formats.run import RunDirectory
from facegen.processes import World, is_told_elsewhere
from facegen.training.agreement import check_agreement
from facegen.training.batches import Batches, images_of_each
from facegen.training.train import train
from facegen.training.wiring import wire_task

EXACT = 1e-10  # float64: only the order in which numbers are added up differs


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recipe]:
    folder = tmp_path_factory.mktemp("data")
    faces = write_dataset(folder / "faces", {"train": 12, "validation": 6}, 64).folder
    presets = ("attribute-classifier", "celeba-autoencoder", "vae-gan", "pixel-32")
    return {
        **{name: compose(name, overrides=[f"data.path={faces}"], size="smoke") for name in presets},
        "denoising": denoising_recipe(write_latents(folder / "latents")),
    }


def parts_of(task: Any, batch_size: int, processes: int, start: int) -> dict[str, Tensor]:
    """What the processes load, put together again."""
    device = torch.device("cpu")
    worlds = [World(rank, processes, rank) for rank in range(processes)]
    loaded = [Batches(task, 0, batch_size, world, device, dropouts=2).load(start) for world in worlds]
    return {name: torch.cat([batch[name] for batch in loaded]) for name in loaded[0]}


KINDS = ["attribute-classifier", "celeba-autoencoder", "vae-gan", "pixel-32", "denoising"]


@pytest.mark.parametrize("kind", KINDS)
def test_processes_see_the_examples_and_numbers_of_one(kind: str, recipes: dict[str, Recipe]) -> None:
    task = wire_task(recipes[kind]).task
    whole = parts_of(task, 8, 1, start=8)
    for processes in (2, 4):
        parts = parts_of(task, 8, processes, start=8)
        assert parts.keys() == whole.keys()
        for name, values in whole.items():
            # Pictures are turned by arithmetic of torch's that is not exact in batches of another size.
            exact = torch.equal(parts[name].nan_to_num(), values.nan_to_num())
            assert exact or (name in ("images", "x0") and torch.allclose(parts[name], values, atol=1e-5))


def test_a_batch_size_does_not_change_an_images_numbers() -> None:
    small, large = (Batches(LineTask(), 3, size, World(), torch.device("cpu")) for size in (4, 12))
    parts = [small.load(start) for start in (12, 16, 20)]
    assert torch.equal(torch.cat([part["y"] for part in parts]), large.load(12)["y"])


def test_a_batch_that_cannot_be_shared_out_names_the_nearest_that_can() -> None:
    assert images_of_each(12, 1, 3) == 4
    assert images_of_each(7, 2, 1) == 7
    with pytest.raises(UsageError, match=r"batch_size=8 or --set training.batch_size=12"):
        images_of_each(10, 1, 4)
    with pytest.raises(UsageError, match=r"whole pairs[^=]*--set training.batch_size=4$"):
        images_of_each(2, 2, 2)


def exact_recipe(latents: Path, **training: Any) -> Recipe:
    told = {"max_steps": 12, "precision": "fp64", "log_every_steps": 1, "preview_every_steps": 12, **training}
    return denoising_recipe(latents, **told)


def written(recipe: Recipe, path: Path) -> Path:
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    return path


def assert_close(one: Path, many: Path) -> None:
    """The last checkpoints, and everything that was logged, are equal but for rounding."""
    before, after = list_checkpoints(one)[-1], list_checkpoints(many)[-1]
    assert before.name == after.name
    for name in ("model", "ema"):
        first, second = (load_file(folder / f"{name}.safetensors") for folder in (before, after))
        assert first.keys() == second.keys()
        assert all((first[key] - second[key]).abs().max() < EXACT for key in first)
    logs = [RunDirectory(run).metrics() for run in (one, many)]
    assert [(record["step"], record["group"]) for record in logs[0]] == [
        (record["step"], record["group"]) for record in logs[1]
    ]
    for first, second in zip(*logs, strict=True):
        assert first["loss"] == pytest.approx(
            second["loss"], abs=1e-6 if first["group"] == "validation" else EXACT
        )
    assert (one / "samples" / "step-00000012.png").read_bytes() == (
        many / "samples" / "step-00000012.png"
    ).read_bytes()


def test_two_processes_train_what_one_does_and_write_it_once(tmp_path: Path) -> None:
    recipe = exact_recipe(write_latents(tmp_path / "latents"), accumulation_steps=2)
    train(recipe, tmp_path / "one", device="cpu")
    config = written(recipe, tmp_path / "recipe.yaml")
    first, second = run_processes(["train", "--config", config, "--run", tmp_path / "two", "--json"], 2)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert json.loads(first.stdout)["steps"] == 12
    assert "in 2 processes" in first.stderr
    assert second.stdout == second.stderr == ""
    assert_close(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "kind"), [(4, "ddp"), (2, "fsdp"), (4, "fsdp")])
def test_more_processes_and_shards_train_the_same(tmp_path: Path, processes: int, kind: str) -> None:
    recipe = exact_recipe(write_latents(tmp_path / "latents"), parallel=kind)
    train(recipe, tmp_path / "one", device="cpu")
    config = written(recipe, tmp_path / "recipe.yaml")
    ended = run_processes(["train", "--config", config, "--run", tmp_path / "many"], processes)
    assert all(one.returncode == 0 for one in ended), ended[0].stderr
    assert_close(tmp_path / "one", tmp_path / "many")


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["vae-gan", "attribute-classifier"])
def test_phases_and_mixed_images_train_in_two_processes(
    tmp_path: Path, preset: str, recipes: dict[str, Recipe]
) -> None:
    training = {"batch_size": 4, "max_steps": 3, "epochs": None, "log_every_steps": 1, "precision": "fp32"}
    recipe = recipes[preset]
    recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update=training)})
    config = written(recipe, tmp_path / "recipe.yaml")
    train(recipe, tmp_path / "one", device="cpu")
    ended = run_processes(["train", "--config", config, "--run", tmp_path / "two"], 2)
    assert all(one.returncode == 0 for one in ended), ended[0].stderr
    one, two = ([r["loss"] for r in RunDirectory(tmp_path / name).metrics()] for name in ("one", "two"))
    assert one == pytest.approx(two, rel=1e-5)


def killed_run(tmp_path: Path, recipe: Recipe) -> Path:
    """A run of two processes of which the second was killed after a checkpoint, and the first named it."""
    run, config = tmp_path / "run", written(recipe, tmp_path / "recipe.yaml")
    with Processes(["train", "--config", config, "--run", run], 2) as started:
        deadline = time.monotonic() + 60
        while not list_checkpoints(run) and time.monotonic() < deadline:
            time.sleep(0.05)
        started.processes[1].kill()
        killed = time.monotonic()
        first, second = started.wait(60)
    assert time.monotonic() - killed < 60
    assert (first.returncode, second.returncode) == (7, -signal.SIGKILL)
    assert "process 1 of 2 (PID" in first.stderr
    assert "was lost" in first.stderr
    load_checkpoint(run, "latest").verify()
    return run


def endless_recipe(latents: Path) -> Recipe:
    """For runs that are stopped; at a constant rate, so that any length is a beginning of any other."""
    recipe = exact_recipe(
        latents,
        batch_size=12,  # for 2 and for 3
        max_steps=100_000,
        checkpoint_every_steps=20,
        validate_every_steps=100_000,
        preview_every_steps=None,
    )
    optimizer = recipe.optimizer.model_copy(update={"lr_schedule": "constant"})
    return recipe.model_copy(update={"optimizer": optimizer})


def test_a_killed_process_is_named_and_the_last_checkpoint_is_whole(tmp_path: Path) -> None:
    killed_run(tmp_path, endless_recipe(write_latents(tmp_path / "latents")))


@pytest.mark.slow
def test_a_run_goes_on_in_three_processes_and_then_in_one(tmp_path: Path) -> None:
    recipe = endless_recipe(write_latents(tmp_path / "latents"))
    run = killed_run(tmp_path, recipe)
    step = load_checkpoint(run, "latest").info.step
    for processes, end in ((3, step + 10), (1, step + 20)):
        words = ["train", "--run", run, "--resume", "--set", f"training.max_steps={end}"]
        assert all(one.returncode == 0 for one in run_processes(words, processes))
    training = recipe.training.model_copy(update={"max_steps": step + 20})
    train(recipe.model_copy(update={"training": training}), tmp_path / "straight", device="cpu")
    whole, parted = (list_checkpoints(each)[-1] for each in (tmp_path / "straight", run))
    assert whole.name == parted.name
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, parted))
    assert all((first[name] - second[name]).abs().max() < EXACT for name in first)


def test_each_process_says_itself_that_it_lost_another(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    assert not is_told_elsewhere(LostProcessError("process 0 was lost"))
    assert is_told_elsewhere(UsageError("no such preset"))
    monkeypatch.setenv("RANK", "0")
    assert not is_told_elsewhere(UsageError("no such preset"))


@pytest.mark.slow
def test_a_process_that_hangs_is_named_with_its_step(tmp_path: Path) -> None:
    long = exact_recipe(write_latents(tmp_path / "latents"), max_steps=100_000, validate_every_steps=100_000)
    config = written(long, tmp_path / "recipe.yaml")
    with Processes(
        ["train", "--config", config, "--run", tmp_path / "run"], 2, env={"FACEGEN_HANG_SECONDS": "6"}
    ) as started:
        deadline = time.monotonic() + 60
        while not list_checkpoints(tmp_path / "run") and time.monotonic() < deadline:
            time.sleep(0.05)
        started.processes[1].send_signal(signal.SIGSTOP)
        _, told = started.processes[0].communicate(timeout=60)
        assert started.processes[0].returncode == 7
        assert "the one the others wait for: process 1 of 2" in told
        assert "step" in told


@pytest.mark.slow
def test_a_signal_to_one_process_saves_once_for_all(tmp_path: Path) -> None:
    long = exact_recipe(write_latents(tmp_path / "latents"), max_steps=100_000, validate_every_steps=100_000)
    config = written(long, tmp_path / "recipe.yaml")
    with Processes(["train", "--config", config, "--run", tmp_path / "run"], 2) as started:
        deadline = time.monotonic() + 60
        while not list_checkpoints(tmp_path / "run") and time.monotonic() < deadline:
            time.sleep(0.05)
        started.processes[1].send_signal(signal.SIGUSR1)
        ended = started.wait(60)
    assert [one.returncode for one in ended] == [143, 143]
    assert "SIGUSR1: stopped after step" in ended[0].stderr
    assert ended[1].stderr == ""
    load_checkpoint(tmp_path / "run", "latest").verify()


class Disagreeing(World):
    """Two processes of which the other was started with another learning rate."""

    def gather(self, value: Any) -> list[Any]:
        return [value, {**value, "optimizer.lr": "0.5", "torch": "2.0"}]


def test_processes_with_different_recipes_are_refused_by_name(tmp_path: Path) -> None:
    wired = wire_task(denoising_recipe(write_latents(tmp_path / "latents")))
    check_agreement(World(), wired)
    with pytest.raises(
        UsageError, match=r"(?s)Process 1 of 2 .*optimizer.lr: 0.001 in process 0, 0.5"
    ) as told:
        check_agreement(Disagreeing(0, 2), wired)
    assert "torch: " in str(told.value)
