"""Faults injected into training for real: kills, signals, corruption, full disks, locks."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.training_parts import LineTask, denoising_recipe, line_recipe, line_trainer, write_latents
from support.training_process import start_training, wait_for

from facegen.errors import StorageError, Terminated, UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.checkpoint_head import checkpoint_name, list_checkpoints
from facegen.formats.run import RunDirectory, locked_run
from facegen.progress import SilentProgress
from facegen.training.checkpointing import newest_whole_checkpoint
from facegen.training.data_order import examples_at
from facegen.training.train import train
from facegen.training.trainer import Trainer

VOLATILE = ("images_per_second",)


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_latents(tmp_path_factory.mktemp("latents"))


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int, stop: Callable[[], None]) -> None:
    """Call `stop` at the beginning of the step after `step`."""
    plain = Trainer._train_step

    def spied(self: Trainer, batch: Any) -> Any:
        if self.step == step:
            stop()
        return plain(self, batch)

    monkeypatch.setattr(Trainer, "_train_step", spied)


class PowerCut(Exception):
    """Stands for a process that ends between two steps, without a farewell."""


def cut() -> None:
    raise PowerCut


def content(run: Path) -> dict[str, Any]:
    """Everything a finished run is compared by: every tensor of its last checkpoint, and its log."""
    checkpoint = load_checkpoint(run, "latest")
    state = checkpoint.training_state()
    optimizer = {
        f"{number}.{name}": value
        for number, values in state["optimizer"]["state"].items()
        for name, value in values.items()
    }
    log = [{k: v for k, v in r.items() if k not in VOLATILE} for r in RunDirectory(run).metrics()]
    return {
        "tensors": {**checkpoint.weights("model")},
        "ema": checkpoint.weights("ema"),
        "optimizer": optimizer,
        "lr": state["optimizer"]["param_groups"][0]["lr"],
        "window": {name: value.item() for name, value in state["window"]["sums"].items()},
        "counters": [state["step"], state["skipped_steps"], state["micro_batch"]],
        "log": log,
    }


def assert_identical(a: dict[str, Any], b: dict[str, Any]) -> None:
    for key in ("tensors", "ema", "optimizer"):
        assert a[key].keys() == b[key].keys()
        assert all(torch.equal(a[key][name], b[key][name]) for name in a[key]), key
    for key in ("lr", "window", "counters", "log"):
        assert a[key] == b[key], key


# -- 1, 2: kills while saving


def test_a_kill_at_any_write_step_of_a_save_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "support.killed_saves", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    kills = [json.loads(line) for line in result.stdout.splitlines()]
    assert not kills[-1]["killed"]
    assert kills[-1]["step"] == 2
    assert len(kills) >= 12  # makes sure that the write steps were found
    for kill in kills:
        assert kill["warned"] == []
        assert kill["weights"] == [float(kill["step"])]
        expected = ["step-00000001"] if kill["step"] == 1 else ["step-00000001", "step-00000002"]
        assert kill["entries"] == expected
    assert any(kill["leftovers"] for kill in kills)


def test_leftovers_of_a_killed_save_are_ignored_and_then_cleaned(
    tmp_path: Path, latents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = denoising_recipe(latents)
    with monkeypatch.context() as patch:
        stop_after(patch, 7, cut)
        with pytest.raises(PowerCut):
            train(recipe, tmp_path / "run")
    leftover = tmp_path / "run" / "checkpoints" / ".step-00000007.tmp-123"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    progress = SilentProgress()
    train(recipe, tmp_path / "run", resume=True, progress=progress)
    assert not leftover.exists()
    assert any(".step-00000007.tmp-123" in line for line in progress.said)
    assert any("Resuming after step 6" in line for line in progress.said)


# -- 3, 4: exact resumption


@pytest.mark.parametrize("steps_before", [(1,), (4,), (5, 8)])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resume_reproduces_the_uninterrupted_run(
    tmp_path: Path,
    latents: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps_before: tuple[int, ...],
    precision: str,
) -> None:
    recipe = denoising_recipe(latents, precision=precision, preview_every_steps=4, preview_images=2)
    train(recipe, tmp_path / "whole")
    for number, steps in enumerate(steps_before):
        with monkeypatch.context() as patch:
            stop_after(patch, steps, lambda: os.kill(os.getpid(), signal.SIGTERM))
            with pytest.raises(Terminated) as stopped:
                train(recipe, tmp_path / "parts", resume=number > 0)
        assert stopped.value.exit_code == 143
        assert list_checkpoints(tmp_path / "parts")[-1].name == checkpoint_name(steps + 1)
    train(recipe, tmp_path / "parts", resume=True)
    assert_identical(content(tmp_path / "whole"), content(tmp_path / "parts"))


@pytest.mark.parametrize("has_amx", [True, False])
def test_the_precision_chosen_is_recorded_and_kept_on_a_machine_that_would_choose_another(
    tmp_path: Path, latents: Path, monkeypatch: pytest.MonkeyPatch, has_amx: bool
) -> None:
    recipe, run = denoising_recipe(latents, precision="auto"), tmp_path / "run"
    first = "bf16" if has_amx else "fp32"
    with monkeypatch.context() as patch:
        patch.setattr("facegen.training.precision.bf16_unit", lambda: "AMX" if has_amx else None)
        stop_after(patch, 7, cut)
        with pytest.raises(PowerCut):
            train(recipe, run)
    assert json.loads((run / "environment.json").read_text())["precision"] == first
    monkeypatch.setattr("facegen.training.precision.bf16_unit", lambda: None if has_amx else "AMX")
    progress = SilentProgress()
    train(recipe, run, resume=True, progress=progress)
    assert f"Precision {first}, as before the interruption." in progress.said
    assert load_checkpoint(run, "latest").training_state()["precision"] == first


def test_a_power_cut_between_checkpoints_repeats_the_lost_steps_exactly(
    tmp_path: Path, latents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = denoising_recipe(latents)
    train(recipe, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 5, cut)  # step 4 was saved by its validation or not; log lines go past it
        with pytest.raises(PowerCut):
            train(recipe, tmp_path / "cut")
    with RunDirectory(tmp_path / "cut").metrics_file.open("a") as stream:
        stream.write('{"step": 5, "gro')
    train(recipe, tmp_path / "cut", resume=True)
    assert_identical(content(tmp_path / "whole"), content(tmp_path / "cut"))


def test_resuming_twice_inside_an_epoch_keeps_the_order_of_examples(tmp_path: Path) -> None:
    recipe = line_recipe(max_steps=9, checkpoint_every_steps=1, validate_every_steps=100)
    places = torch.arange(9 * 8).split(8)
    expected = [examples_at(part, LineTask.num_examples, 0).tolist() for part in places]
    stream = [example for batch in expected for example in batch]
    assert sorted(stream[20:40]) == list(range(20))  # the second epoch, whole
    seen: list[list[int]] = []
    for stop in (1, 4, None):  # both inside epochs of 2.5 steps
        task = LineTask()
        trainer = line_trainer(tmp_path, recipe, task)
        checkpoint = newest_whole_checkpoint(tmp_path, SilentProgress())
        if checkpoint is not None:
            trainer.restore(checkpoint)
        if stop is None:
            trainer.fit()
        else:
            with pytest.MonkeyPatch.context() as patch:
                stop_after(patch, stop, cut)
                with pytest.raises(PowerCut):
                    trainer.fit()
            task.seen.pop()  # loaded ahead, not trained on
        seen += task.seen
    assert seen == expected


# -- 5, 6: signals


@pytest.fixture
def training(tmp_path: Path, latents: Path) -> Iterator[Callable[..., Any]]:
    processes = []

    def start(**settings: Any) -> Any:
        processes.append(start_training(latents, tmp_path / "run", tmp_path / "error.txt", **settings))
        return processes[-1]

    yield start
    for process in processes:
        if process.is_alive():
            process.kill()
        process.join()


@pytest.mark.parametrize(
    ("name", "exit_code"),
    [("SIGTERM", 143), ("SIGUSR1", 143), ("SIGINT", 130)],
)
def test_a_signal_saves_at_the_end_of_the_step_and_exits(
    tmp_path: Path, training: Callable[..., Any], name: str, exit_code: int
) -> None:
    if not hasattr(signal, name):
        pytest.skip("a signal of POSIX alone")
    number = signal.Signals[name]
    process, run = training(), RunDirectory(tmp_path / "run")
    wait_for(lambda: len(run.metrics()) >= 2, process)
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == exit_code
    message = (tmp_path / "error.txt").read_text()
    latest = load_checkpoint(tmp_path / "run", "latest")
    assert f"{number.name}: stopped after step {latest.info.step} of" in message
    assert run.metrics()[-1]["step"] == latest.info.step
    latest.verify()


def test_a_second_interrupt_stops_at_once(tmp_path: Path, training: Callable[..., Any]) -> None:
    process = training(slow_step_seconds=200)
    wait_for((tmp_path / "run" / "in-a-step").exists, process)
    os.kill(process.pid, signal.SIGINT)
    process.join(0.3)
    assert process.is_alive()  # the first one waits for the step's end
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode == 130
    assert list_checkpoints(tmp_path / "run") == []


# -- 7: corrupt checkpoints


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 7)


@pytest.mark.parametrize("damage", [flip_a_byte, truncate, Path.unlink])
@pytest.mark.parametrize("name", ["model.safetensors", "training_state.pt", "checkpoint.json"])
def test_a_corrupt_newest_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, damage: Callable[[Path], None], name: str
) -> None:
    line_trainer(tmp_path, line_recipe(max_steps=6, checkpoint_every_steps=2)).fit()
    newest = list_checkpoints(tmp_path)[-1]
    damage(newest / name)
    progress = SilentProgress()
    found = newest_whole_checkpoint(tmp_path, progress)
    assert found is not None
    assert found.info.step < 6
    if (newest / "checkpoint.json").exists() or name != "checkpoint.json":
        assert newest.name in progress.warned[0]
        assert "alling back" in progress.warned[0]


def test_a_run_resumed_from_an_older_checkpoint_ends_like_the_uninterrupted_one(
    tmp_path: Path, latents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = denoising_recipe(latents)
    train(recipe, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 7, cut)
        with pytest.raises(PowerCut):
            train(recipe, tmp_path / "damaged")
    flip_a_byte(list_checkpoints(tmp_path / "damaged")[-1] / "ema.safetensors")
    progress = SilentProgress()
    train(recipe, tmp_path / "damaged", resume=True, progress=progress)
    assert any("corrupt" in line for line in progress.warned)
    assert_identical(content(tmp_path / "whole"), content(tmp_path / "damaged"))


def test_only_corrupt_checkpoints_are_an_error(tmp_path: Path) -> None:
    line_trainer(tmp_path, line_recipe(max_steps=3)).fit()
    for folder in list_checkpoints(tmp_path):
        flip_a_byte(folder / "model.safetensors")
    with pytest.raises(StorageError, match="are corrupt"):
        newest_whole_checkpoint(tmp_path, SilentProgress())


# -- 8: latents


def test_a_flipped_bit_in_the_latents_is_refused_naming_the_shard(tmp_path: Path) -> None:
    folder = write_latents(tmp_path / "latents")
    flip_a_byte(folder / "latents-train-00000.safetensors")
    with pytest.raises(StorageError, match="latents-train-00000") as refused:
        train(denoising_recipe(folder), tmp_path / "run")
    assert refused.value.exit_code == 5
    assert not (tmp_path / "run").exists()


# -- 12: full disk


def test_a_full_disk_stops_with_exit_5_and_resuming_repeats_nothing_wrong(
    tmp_path: Path, latents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = denoising_recipe(latents)
    train(recipe, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 5, lambda: patch.setattr("facegen.formats.checkpoint.save_file", no_space))
        with pytest.raises(StorageError, match="disk is full") as refused:
            train(recipe, tmp_path / "run")
    assert refused.value.exit_code == 5
    assert [path.name for path in (tmp_path / "run" / "checkpoints").glob(".*")] == []
    for folder in list_checkpoints(tmp_path / "run"):
        load_checkpoint(folder).verify()
    train(recipe, tmp_path / "run", resume=True)
    assert_identical(content(tmp_path / "whole"), content(tmp_path / "run"))


def no_space(*args: Any, **kwargs: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


# -- 14: non-finite losses: tests/training/test_trainer.py; 16: memory: there too
# -- 17, 18: locks


def test_a_second_run_in_one_folder_names_the_first_and_a_dead_holder_is_forgotten(
    tmp_path: Path, latents: Path, training: Callable[..., Any]
) -> None:
    pytest.importorskip("fcntl", reason="the training process locks by fcntl, which this one has not")
    process, run = training(), tmp_path / "run"
    wait_for(lambda: len(RunDirectory(run).metrics()) >= 1, process)
    recipe = RunDirectory(run).recipe()
    with pytest.raises(UsageError, match=rf"in use by PID {process.pid} on host") as refused:
        train(recipe, run)
    assert refused.value.exit_code == 2
    process.kill()
    process.join()
    assert json.loads((run / "run.lock").read_text())["pid"] == process.pid  # stale
    with locked_run(run):
        assert json.loads((run / "run.lock").read_text())["pid"] == os.getpid()


def test_a_lock_held_on_another_host_is_believed(tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text('{"host": "elsewhere", "pid": 7}')
    with pytest.raises(UsageError, match="PID 7 on host 'elsewhere'"), locked_run(tmp_path):
        pass
