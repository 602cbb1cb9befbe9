"""Ways of calling a network: the fastest that gives the same is taken, and trying leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.processes import REPOSITORY, run_processes
from support.training_parts import denoising_recipe, latent_trainer, write_latents
from torch import Tensor, nn

from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.run import locked_run
from facegen.processes import ALONE
from facegen.progress import SilentProgress
from facegen.protocols import Batch
from facegen.training import compiling
from facegen.training.checkpointing import CheckpointKeeper
from facegen.training.compiling import Way, fastest_way
from facegen.training.train import train
from facegen.training.trainer import Trainer
from facegen.training.wiring import wire_task

NO_TIME_LEFT = dict.fromkeys(compiling.WAYS, 0.0)
CLOCK = {"seconds": 0.0}  # which a trial moves on, so that it does not matter how busy the machine is


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The modes that modules are compiled in, which is not done."""
    modes: list[str | None] = []

    def compile_it(self: nn.Module, mode: str | None = None) -> None:
        modes.append(mode)

    monkeypatch.setattr(nn.Module, "compile", compile_it)
    monkeypatch.setattr(compiling, "time", SimpleNamespace(perf_counter=lambda: CLOCK["seconds"]))
    monkeypatch.setattr(compiling, "WORTH_TRYING_SECONDS", NO_TIME_LEFT)
    monkeypatch.setattr(compiling, "FEWEST_STEPS", dict.fromkeys(compiling.WAYS, 1))
    return modes


def trial_of(seconds: dict[Way, float], **found: Any) -> compiling.Trial:
    def trial(way: Way) -> Tensor:
        CLOCK["seconds"] += seconds[way]
        result = found.get(way, [1.0, 2.0])
        if isinstance(result, Exception):
            raise result
        return torch.tensor(result)

    return trial


def config(folder: Path) -> list[str]:
    """A file of a tiny recipe, as a command is told it."""
    recipe = denoising_recipe(write_latents(folder / "tiny"))
    file = folder / "recipe.yaml"
    file.write_text(json.dumps(recipe.model_dump(mode="json", exclude_none=True)))
    return ["--config", str(file)]


def way_found(trial: compiling.Trial, steps: int = 10, kind: str = "cuda") -> compiling.Compilation:
    return fastest_way(nn.Linear(1, 1), trial, steps, torch.float32, ALONE, kind)


def test_the_fastest_way_is_taken_and_told(called: list[str | None]) -> None:
    found = way_found(trial_of({"eager": 0.02, "compiled": 0.01, "graphs": 0.002}))
    assert found.way == "graphs"
    assert "ms as it is" in found.reason
    assert called == [None, "reduce-overhead"]


def test_a_cpu_is_not_asked_for_graphs(called: list[str | None]) -> None:
    found = way_found(trial_of({"eager": 0.02, "compiled": 0.01}), kind="cpu")
    assert (found.way, called) == ("compiled", [None])


def test_of_the_compilers_own_errors_the_cause_is_told(called: list[str | None]) -> None:
    failure = RuntimeError("backend='inductor' raised:")
    failure.inner_exception = ValueError("no compiler found")  # pyright: ignore[reportAttributeAccessIssue]
    found = way_found(trial_of({"eager": 0.01, "compiled": 0.0}, compiled=failure), kind="cpu")
    assert "compiled fails (no compiler found)" in found.reason


def test_hardly_faster_is_not_worth_it(called: list[str | None]) -> None:
    assert way_found(trial_of({"eager": 0.01, "compiled": 0.0099, "graphs": 0.02})).way == "eager"


def test_a_way_that_fails_is_told_and_left_out(called: list[str | None]) -> None:
    failure = RuntimeError("no such kernel\nand a page of frames")
    found = way_found(trial_of({"eager": 0.01, "compiled": 0.005, "graphs": 0.0}, graphs=failure))
    assert found.way == "compiled"
    assert "graphs fails (no such kernel)" in found.reason


@pytest.mark.parametrize("result", [[1.0, 2.1], [float("nan"), 2.0]])
def test_a_way_that_gives_something_else_is_left_out(called: list[str | None], result: list[float]) -> None:
    found = way_found(
        trial_of({"eager": 0.01, "compiled": 0.0, "graphs": 0.0}, compiled=result, graphs=result)
    )
    assert found.way == "eager"
    assert "compiled differs" in found.reason


def test_a_short_run_is_not_compiled_for(called: list[str | None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "WORTH_TRYING_SECONDS", {"cuda": 10.0})
    found = way_found(trial_of({"eager": 0.001, "compiled": 0.0, "graphs": 0.0}))
    assert (found.way, called) == ("eager", [])
    assert "too few to compile for" in found.reason


def test_trying_leaves_statistics_as_they_were(called: list[str | None]) -> None:
    module = nn.BatchNorm1d(2)

    def trial(way: Way) -> Tensor:
        return module(torch.randn(4, 2)).sum().detach().repeat(2) * 0

    fastest_way(module, trial, 1, torch.float32, ALONE, "cuda")
    assert module.num_batches_tracked == 0
    assert module.running_var is not None
    assert torch.equal(module.running_var, torch.ones(2))


def test_a_trial_changes_nothing_of_the_training(tmp_path: Path) -> None:
    recipe = denoising_recipe(write_latents(tmp_path / "tiny"), accumulation_steps=2)
    ended = []
    for tries in (0, 3):
        progress = SilentProgress()
        with locked_run(tmp_path / str(tries)) as run:
            wired = wire_task(recipe, progress)
            run.start(recipe)
            keeper = CheckpointKeeper(run, wired.info, 2)
            trainer = Trainer(wired.task, recipe, keeper, progress, torch.device("cpu"))
            found = {tuple(trainer._trial(trainer._load_batch(0), "eager").tolist()) for _ in range(tries)}
            assert len(found) == min(tries, 1)
            assert all(parameter.grad is None for parameter in trainer.parameters)
            trainer.fit()
            ended.append(trainer.module.state_dict())
    assert all(torch.equal(value, ended[1][name]) for name, value in ended[0].items())


def test_a_way_that_takes_too_much_memory_is_no_way_and_cuts_no_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "WORTH_TRYING_SECONDS", NO_TIME_LEFT)
    monkeypatch.setattr(nn.Module, "compile", lambda self, mode: None)
    plain = Trainer._backward

    def hungry(self: Trainer, micro_batch: Batch, share: float, last: bool) -> dict[str, Tensor]:
        if self.way == "graphs" and len(micro_batch["x0"]) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(self, micro_batch, share, last)

    monkeypatch.setattr(Trainer, "_backward", hungry)
    recipe = denoising_recipe(write_latents(tmp_path / "tiny"))
    with locked_run(tmp_path / "run") as run:
        run.start(recipe)
        wired = wire_task(recipe, SilentProgress())
        keeper = CheckpointKeeper(run, wired.info, 2)
        trainer = Trainer(wired.task, recipe, keeper, SilentProgress(), torch.device("cpu"))
        batch = trainer._load_batch(0)
        found = fastest_way(
            trainer.module, lambda way: trainer._trial(batch, way), 9, torch.float32, ALONE, "cuda"
        )
    assert "graphs fails (not enough memory for micro-batches of 16)" in found.reason
    assert trainer.micro.size == 16


def test_a_short_run_is_not_compiled_and_keeps_its_way(tmp_path: Path) -> None:
    recipe = denoising_recipe(write_latents(tmp_path / "tiny"), max_steps=2)
    train(recipe, tmp_path / "run", device="cpu")
    assert load_checkpoint(tmp_path / "run", "latest").training_state()["way"] == "eager"


def test_what_draws_is_called_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.Module, "compile", lambda self, mode: setattr(self, "_compiled_call_impl", print))
    recipe = denoising_recipe(write_latents(tmp_path / "tiny"))
    without = recipe.ema.model_copy(update={"enabled": False})
    trainer = latent_trainer(tmp_path / "run", recipe.model_copy(update={"ema": without}))
    trainer.way = "compiled"
    compiling.call_as("compiled", trainer.module)
    trained: Any = trainer.module
    drawing: Any = trainer._evaluation_module()
    assert trained["denoiser"]._compiled_call_impl is print
    assert drawing["denoiser"]._compiled_call_impl is None


ALWAYS_TRIED = """
from facegen.training import compiling
compiling.WORTH_TRYING_SECONDS = dict.fromkeys(compiling.WAYS, 0.0)
compiling.FEWEST_STEPS["cpu"] = 1
from facegen.__main__ import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "told"),
    [({}, "ms compiled"), ({"CXX": "no-such-compiler"}, "compiled fails (No working C++ compiler")],
)
def test_a_cpu_is_tried_and_a_missing_compiler_told(tmp_path: Path, env: dict[str, str], told: str) -> None:
    run = ["train", *config(tmp_path), "--run", str(tmp_path / "run"), "--device", "cpu"]
    ended = subprocess.run(
        [sys.executable, "-c", ALWAYS_TRIED, *run],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert told in ended.stderr


@pytest.mark.slow
def test_compiled_training_resumes_exactly(tmp_path: Path) -> None:
    words = ["train", *config(tmp_path), "--run", str(tmp_path / "run"), "--device", "cpu"]
    (ended,) = run_processes(
        [*words, "--verify-resume", "--json", "--set", "training.compile=true"], 1, timeout=290
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["exact"]


@pytest.mark.slow
def test_compiled_training_is_the_same_but_for_rounding(tmp_path: Path) -> None:
    told, ends = config(tmp_path), []
    for compiled in ("false", "true"):
        run = tmp_path / compiled
        words = ["train", *told, "--run", str(run), "--device", "cpu"]
        # in a process of its own: a compiler does not see through the checks of shapes that tests add
        (ended,) = run_processes([*words, "--set", f"training.compile={compiled}"], 1)
        assert ended.returncode == 0, ended.stderr
        ends.append(load_checkpoint(run, "latest"))
    assert [end.training_state()["way"] for end in ends] == ["eager", "compiled"]
    eager, compiled = (end.weights("model") for end in ends)
    assert eager.keys() == compiled.keys()
    for name, value in eager.items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-3, atol=1e-5)
