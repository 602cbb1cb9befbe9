"""TensorBoard, Weights & Biases, MLflow and trackio beside metrics.jsonl: the real ones, on this machine."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.training_parts import denoising_recipe, line_recipe, line_trainer, write_latents

from facegen.errors import UsageError
from facegen.formats.run import RunDirectory
from facegen.report.report import report
from facegen.training import trackers
from facegen.training.options import LifeOptions
from facegen.training.train import train


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real W&B, which stays on this machine unless the environment says otherwise."""
    pytest.importorskip("wandb", reason="the extra 'wandb' is not installed")
    monkeypatch.delenv("WANDB_MODE", raising=False)


def logged(run: Path) -> list[dict[str, Any]]:
    """What W&B's own file of this run holds, in the order written."""
    from wandb.proto.wandb_internal_pb2 import Record  # pyright: ignore[reportAttributeAccessIssue]

    (path,) = run.glob("wandb/offline-run-*/run-*.wandb")
    deadline = time.monotonic() + 60
    while True:  # W&B's own process writes it, and may lag behind
        records = [Record.FromString(data) for data in leveldb_records(path.read_bytes())]
        if records and records[-1].WhichOneof("record_type") == "exit":
            break
        assert time.monotonic() < deadline, "W&B does not finish its file"
        time.sleep(0.05)
    rows = [record.history.item for record in records if record.WhichOneof("record_type") == "history"]
    return [{item.key or item.nested_key[0]: json.loads(item.value_json) for item in row} for row in rows]


def leveldb_records(content: bytes) -> Iterator[bytes]:
    """Records of a LevelDB log: blocks of 32 KiB, each piece after its checksum, length and type."""
    position, whole = 7, b""  # W&B's own header comes first
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:  # too short for a header: padding
            position += left
            continue
        length, piece = struct.unpack_from("<HB", content, position + 4)
        whole += content[position + 7 : position + 7 + length]
        position += 7 + length
        if piece in (1, 4):  # whole, or the last piece
            yield whole
            whole = b""


@pytest.mark.usefixtures("offline")
def test_wandb_gets_what_the_metrics_file_gets(tmp_path: Path) -> None:
    recipe = line_recipe(max_steps=8, log_every_steps=2, trackers=["tensorboard", "wandb"])
    line_trainer(tmp_path, recipe).fit()
    shown = logged(tmp_path)
    written = RunDirectory(tmp_path).metrics()
    assert len(shown) == len(written) == 4 + 2
    for row, record in zip(shown, written, strict=True):
        assert row["step"] == record["step"]
        assert row[f"{record['group']}/loss"] == pytest.approx(record["loss"])
    assert list((tmp_path / "tensorboard").iterdir())


@pytest.mark.usefixtures("offline")
def test_a_resumed_run_goes_on_in_the_same_wandb_run(tmp_path: Path) -> None:
    latents = write_latents(tmp_path / "latents")
    run = tmp_path / "run"
    train(denoising_recipe(latents, max_steps=4), run)
    both = denoising_recipe(latents, max_steps=4, trackers=["wandb"])
    train(both, run, resume=True)  # switched on later: a tracker is free to change
    run_id = json.loads((run / "wandb.json").read_text())["run_id"]
    train(both, run, resume=True)
    names = [path.name for path in run.glob("wandb/offline-run-*/run-*.wandb")]
    assert names == [f"run-{run_id}.wandb"] * 2


@pytest.mark.parametrize("name", [*trackers.SERVICES])
@pytest.mark.parametrize("missing", ["the package", "accelerate"])
def test_without_a_package_the_command_that_installs_it_is_told(
    name: str, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacks = name if missing == "the package" else missing
    monkeypatch.setattr(trackers, "find_spec", lambda package: None if package == lacks else package)
    recipe = denoising_recipe(write_latents(tmp_path / "latents"), trackers=[name])
    with pytest.raises(
        UsageError, match=rf"'{lacks}' is not installed.\nInstall it: pip install 'facegen\[{name}\]'"
    ):
        train(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_trackers_the_metrics_file_stands_alone(tmp_path: Path) -> None:
    line_trainer(tmp_path, line_recipe(max_steps=4, trackers=[])).fit()
    assert RunDirectory(tmp_path).metrics()
    assert not (tmp_path / "tensorboard").exists()
    assert not (tmp_path / "wandb").exists()


def test_tensorboard_shows_a_repeated_step_once(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for values in ((1.0, 2.0, 3.0), (20.0, 30.0)):  # the second, resumed, repeats steps 2 and 3
        board = trackers.TensorBoard(RunDirectory(tmp_path))
        for step, value in enumerate(values, 4 - len(values)):
            board.write(step, {"train/loss": value})
        board.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 1), (2, 20), (3, 30)]


def test_a_disk_that_fills_while_tensorboard_is_written_is_told_without_a_traceback(tmp_path: Path) -> None:
    code = """
import resource, sys, threading
from pathlib import Path
from facegen.errors import StorageError
from facegen.formats.run import RunDirectory
from facegen.training.trackers import TensorBoard
board = TensorBoard(RunDirectory(Path(sys.argv[1])))
board.write(1, {"train/loss": 1.0})
assert threading.active_count() == 1
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
for attempt in (lambda: [board.write(step, {"train/loss": 1.0}) for step in range(99)], board.close):
    try:
        attempt()
    except StorageError as error:
        print(error.exit_code, error)
"""
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.startswith("5 Could not write")
    assert "the disk is full" in done.stdout
    assert done.stderr == ""


@pytest.mark.usefixtures("offline")
def test_a_closed_door_is_told_with_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb
    from wandb.errors import CommError

    def refused(**settings: Any) -> None:
        raise CommError("no answer")

    monkeypatch.setattr(wandb, "init", refused)
    with pytest.raises(UsageError, match=r"wandb did not open a run: no answer\n.*WANDB_MODE"):
        line_trainer(tmp_path, line_recipe(trackers=["wandb"], max_steps=4))


def trained_twice(run: Path, name: str) -> RunDirectory:
    """A run with previews that was interrupted and gone on with in the same tracked run."""
    latents = write_latents(run.parent / "latents")
    recipe = denoising_recipe(latents, max_steps=4, trackers=[name], preview_every_steps=4, preview_images=2)
    train(recipe, run)
    known = (run / f"{name}.json").read_text()
    train(recipe, run, resume=True, life=LifeOptions(extend=4, after_decay="last-rate"))
    assert (run / f"{name}.json").read_text() == known
    return RunDirectory(run)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*noload:DeprecationWarning")  # by MLflow, of SQLAlchemy 2.1
def test_mlflow_gets_numbers_previews_recipe_and_page_in_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra 'mlflow' is not installed")
    pytest.importorskip("sqlalchemy", reason="the extra 'mlflow' is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = trained_twice(tmp_path / "run", "mlflow")
    report(run.path)
    client = mlflow.MlflowClient(f"sqlite:///{run.path / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'facegen'")
    (found,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(found.info.run_id, "validation/loss")
    written = [row for row in run.metrics() if row["group"] == "validation"]
    assert [(one.step, one.value) for one in history] == [(row["step"], row["loss"]) for row in written]
    assert found.data.params["optimizer.lr"] == "0.001"
    kept = {one.path for one in client.list_artifacts(found.info.run_id)}
    assert kept == {"preview", "recipe.yaml", "report.html"}
    assert len(client.list_artifacts(found.info.run_id, "preview")) == 2
    assert not list(Path().glob("mlruns"))


@pytest.mark.slow
def test_trackio_gets_numbers_previews_and_the_recipe_in_one_run(tmp_path: Path) -> None:
    pytest.importorskip("trackio", reason="the extra 'trackio' is not installed")
    code = """
import json, sys
from pathlib import Path
from training.test_trackers import trained_twice
run = trained_twice(Path(sys.argv[1]), "trackio")
from trackio import Api, SQLiteStorage
(found,) = Api().runs("facegen")
assert found.config["optimizer.lr"] == 0.001
kept = SQLiteStorage.get_artifacts("facegen")
print(json.dumps([SQLiteStorage.get_logs("facegen", found.name), [one["name"] for one in kept]]))
"""
    tests = str(Path(__file__).parents[1])
    environment = {
        **os.environ,
        "TRACKIO_DIR": str(tmp_path / "trackio"),  # read when the package is imported
        "PYTHONPATH": os.pathsep.join([tests, *sys.path]),
    }
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "run")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    logs, kept = json.loads(done.stdout)  # trackio's own words are not there
    losses = [(row["step"], row["validation/loss"]) for row in logs if "validation/loss" in row]
    written = [row for row in RunDirectory(tmp_path / "run").metrics() if row["group"] == "validation"]
    assert losses == [(row["step"], row["loss"]) for row in written]
    assert [row["step"] for row in logs if "preview" in row] == [4, 8]
    assert len(kept) == 1
    assert kept[0].endswith("recipe.yaml")
