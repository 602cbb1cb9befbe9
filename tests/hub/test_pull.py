"""What was pushed comes back whole or not at all, and every command takes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.hub_server import HubServer
from typer.testing import CliRunner

import facegen
from facegen.cli.app import app
from facegen.errors import MissingModelError, StorageError, UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.dataset import Dataset
from facegen.formats.run import RunDirectory
from facegen.housekeeping.runs import tell
from facegen.hub.options import PullOptions, PushOptions
from facegen.hub.pull import pull
from facegen.hub.push import push
from facegen.report.facts import read_run
from facegen.verification.verify import verify

REPO = "me/faces"
MODEL = f"models/{REPO}"
OPEN = PushOptions(licence="cc-by-4.0")


def test_a_pulled_run_draws_the_same_and_is_a_run(hub: HubServer, run: Path, tmp_path: Path) -> None:
    push(run, REPO, OPEN)
    summary = pull(REPO, tmp_path / "back")
    drawn = [facegen.load(path, "cpu").sample(count=2, seed=3, steps=2) for path in (run, tmp_path / "back")]
    assert np.array_equal(drawn[0].images.numpy(), drawn[1].images.numpy())
    assert summary.files == len(hub.repos[MODEL]["main"])
    assert {path.name for path in tmp_path.iterdir() if "back" in path.name} == {"back"}
    assert not (tmp_path / "back" / ".cache").exists()
    assert RunDirectory(tmp_path / "back").recipe().data.path is None
    assert read_run(tmp_path / "back").data.licence == "cc-by-4.0"
    assert tell(tmp_path / "back").state == "finished"
    assert verify(tmp_path / "back").is_whole
    with pytest.raises(UsageError, match="is for use alone"):
        load_checkpoint(tmp_path / "back").training_state()
    with pytest.raises(UsageError, match="has averaged weights alone"):
        facegen.load(tmp_path / "back", "cpu", weights="model")
    with pytest.raises(UsageError, match="is in the way"):
        pull(REPO, tmp_path / "back")


def test_a_pulled_data_set_is_one(hub: HubServer, data: Path, tmp_path: Path) -> None:
    push(data, REPO, OPEN)
    result = CliRunner().invoke(app, ["pull", REPO, str(tmp_path / "back")], catch_exceptions=False)
    assert result.exit_code == 0
    assert f"data set '{REPO}', 4 files" in result.stdout
    there, back = Dataset.open(data), Dataset.open(tmp_path / "back")
    back.verify()
    assert back.manifest.fingerprint == there.manifest.fingerprint
    hub.add(MODEL, {"recipe.yaml": b"", "checkpoints/a/checkpoint.json": b"{}"})
    assert pull(f"datasets/{REPO}", tmp_path / "again").repo_type == "dataset"


@pytest.mark.slow
def test_an_earlier_state_is_had_by_its_name(hub: HubServer, run: Path, tmp_path: Path) -> None:
    push(run, REPO)
    hub.add(MODEL, dict(hub.repos[MODEL]["main"]), revision="v1")
    hub.add(MODEL, {"recipe.yaml": b"broken"})
    assert pull(REPO, tmp_path / "then", PullOptions(revision="v1")).files
    with pytest.raises(MissingModelError, match="no such revision"):
        pull(REPO, tmp_path / "never", PullOptions(revision="v9"))


@pytest.mark.parametrize(
    ("key", "files", "told"),
    [
        (MODEL, {"model_index.json": b"{}"}, "is no run of facegen[^\0]*hf download me/faces"),
        (REPO, {"data/train.parquet": b""}, "was not prepared by facegen[^\0]*facegen prepare hub me/faces"),
        (MODEL, {".gitattributes": b""}, "is there and empty"),
        (MODEL, {"../recipe.yaml": b"", "/etc/checkpoint.json": b""}, "is there and empty"),
    ],
)
def test_what_facegen_did_not_push_is_told(
    hub: HubServer, tmp_path: Path, key: str, files: dict[str, bytes], told: str
) -> None:
    hub.add(key, files)
    with pytest.raises(UsageError, match=told):
        pull(REPO, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_what_is_not_there_or_cannot_be_asked_is_told(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    with pytest.raises(MissingModelError, match=r"There is no 'me/faces' on the hub[^\0]*hf auth login"):
        pull(REPO, tmp_path / "out")
    hub.status = 503
    with pytest.raises(MissingModelError, match="answered with status 503"):
        pull(REPO, tmp_path / "out")
    hub.status, hub.answer = None, b'{"id": "me/faces", "siblings": []}'
    hub.add(MODEL, {})
    with pytest.raises(MissingModelError, match="answer about 'me/faces' names no commit"):
        pull(REPO, tmp_path / "out")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingModelError, match="HF_HUB_OFFLINE is set"):
        pull(REPO, tmp_path / "out")


def test_a_folder_that_is_not_whole_never_stands_there(hub: HubServer, run: Path, tmp_path: Path) -> None:
    push(run, REPO)
    name = "checkpoints/step-00000007/ema.safetensors"
    hub.alter[name] = 1000
    with pytest.raises(StorageError, match="was damaged on its way"):
        pull(REPO, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    hub.alter.clear()
    sent = hub.sent["recipe.yaml"]
    pull(REPO, tmp_path / "out")
    assert hub.sent["recipe.yaml"] == sent == 1
    files = hub.repos[MODEL]["main"]
    files[name] = files[name][:-1] + b"\7"  # as nobody's checksum says
    with pytest.raises(StorageError, match="is corrupt"):
        pull(REPO, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def _started(hub: HubServer, tmp_path: Path, *words: object) -> subprocess.Popen[Any]:
    surroundings = {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": "hf_test",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_CACHE": str(tmp_path / "its-cache"),
        "HF_HUB_DISABLE_XET": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "facegen", *map(str, words)],
        env={**os.environ, **surroundings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _kill_when_held(hub: HubServer, process: subprocess.Popen[Any], kept: Path | None = None) -> None:
    """Kill it in the middle of what it sends or fetches, once it has weights in the folder `kept`."""
    assert hub.held.wait(60)
    until = time.monotonic() + 60
    while kept is not None and not list(kept.rglob("*.safetensors")):
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    hub.held_after = None
    hub.held.clear()


def _ended(process: subprocess.Popen[Any]) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()


@pytest.mark.slow
def test_a_killed_push_shows_nothing_and_a_killed_pull_leaves_no_folder(
    hub: HubServer, run: Path, tmp_path: Path
) -> None:
    hub.held_after = 1
    _kill_when_held(hub, _started(hub, tmp_path, "push", run, REPO))
    assert hub.repos == {MODEL: {"main": {}}}  # made, and empty
    with pytest.raises(UsageError, match="is there and empty"):
        pull(REPO, tmp_path / "out")
    first = hub.passed["taken"]
    _ended(_started(hub, tmp_path, "push", run, REPO))
    assert hub.commits == [MODEL]
    assert hub.passed["taken"] == 2  # the other large file alone
    assert first <= 2

    hub.held_after = hub.passed["sent"] + 1
    out = tmp_path / "out"
    partial = tmp_path / ".out.partial"
    _kill_when_held(hub, _started(hub, tmp_path, "pull", REPO, out), partial / "pulled")
    assert not out.exists()
    assert partial.is_dir()
    _ended(_started(hub, tmp_path, "pull", REPO, out))
    assert not partial.exists()
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == set(
        hub.repos[MODEL]["main"]
    )
    load_checkpoint(out).verify()
    weights = [name for name in hub.repos[MODEL]["main"] if name.endswith(".safetensors")]
    assert min(hub.sent[name] for name in weights) == 1  # what had come did not come again
