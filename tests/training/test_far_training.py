"""Training from a loopback S3 store, and what is asked of it when it fails; sampling a far run."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from support.far_store import names, put
from support.processes import Processes
from support.s3_server import proxy, s3_server
from support.training_parts import denoising_recipe, write_latents

from facegen.cli.app import main
from facegen.config.recipe import Recipe
from facegen.formats import far, far_cache, far_store
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.checkpoint_head import list_checkpoints
from facegen.formats.images import read_png_text
from facegen.models.loading import load
from facegen.training.train import train

pytest.importorskip("moto", reason="the S3 server is moto's")
pytest.importorskip("s3fs", reason="s3:// is read by s3fs")

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of botocore and moto
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # connections that s3fs leaves to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture(autouse=True)
def cache(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, value in {
        "FACEGEN_CACHE": str(tmp_path / "cache"),
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(far_store, "RETRY_PAUSES_SECONDS", (0.0, 0.0))
    yield tmp_path / "cache" / "far"
    far._open.clear()
    for mark in far_cache._held.values():
        mark.release()
    far_cache._held.clear()


def losses(run: Path) -> list[tuple[int, float]]:
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(record["step"], record["loss"]) for record in records if "loss" in record]


def of_data(recipe: Recipe, path: str) -> Recipe:
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"path": path})})


def test_training_from_s3_equals_training_from_disk_though_connections_are_cut(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    latents = write_latents(tmp_path / "tiny")
    url = put(latents, "s3://bucket/latents/tiny")
    recipe = denoising_recipe(latents)
    train(recipe, tmp_path / "here", device="cpu")
    cut: list[str] = []

    def cuts(path: str, count: int) -> bool:
        if path.endswith("train-00000.safetensors") and count <= 2:
            cut.append(path)
            return True
        return False

    with proxy(server, cuts) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        train(of_data(recipe, url), tmp_path / "there", device="cpu")
    assert len(cut) == 2
    assert losses(tmp_path / "there") == losses(tmp_path / "here")
    here, there = (load_checkpoint(tmp_path / name, "latest") for name in ("here", "there"))
    assert here.info.data_fingerprint == there.info.data_fingerprint
    for name, value in here.weights("model").items():
        assert torch.equal(value, there.weights("model")[name])


def test_a_far_run_samples_without_fetching_the_optimizer(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = denoising_recipe(write_latents(tmp_path / "tiny"))
    train(recipe, tmp_path / "run", device="cpu")
    url = put(tmp_path / "run", "s3://bucket/runs/tiny")
    here, there = load(tmp_path / "run", "cpu"), load(url, "cpu")
    images = [
        one.generate(one.conditioner.null_inputs(1), [0], one.sampling).tolist() for one in (here, there)
    ]
    assert images[0] == images[1]
    assert len(list(cache.rglob("*.safetensors"))) == 1
    assert not list(cache.rglob("training_state.pt"))


def test_commands_take_far_addresses_and_write_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = denoising_recipe(write_latents(tmp_path / "tiny"))
    train(recipe, tmp_path / "run", device="cpu")
    url = put(tmp_path / "run", "s3://bucket/runs/commanded")
    monkeypatch.chdir(tmp_path)
    assert told(["sample", url, "--prompt", "smiling", "--count", "1", "--steps", "2", "--out", "made"]) == 0
    picture = next((tmp_path / "made").glob("seed-*.png"))
    assert json.loads(read_png_text(picture)["facegen"])["run"] == url
    assert told(["report", url]) == 0
    assert (tmp_path / "commanded" / "report.html").is_file()
    capsys.readouterr()
    assert told(["sample", url, "--prompt", "smiling", "--out", "s3://bucket/made"]) == 2
    assert "needs a local folder" in " ".join(capsys.readouterr().err.split())


def told(words: list[str]) -> int:
    """What the command line exits with."""
    with patch.object(sys, "argv", ["facegen", *words]), pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.slow
def test_processes_that_are_stopped_together_leave_the_last_checkpoint_there(tmp_path: Path) -> None:
    recipe = denoising_recipe(write_latents(tmp_path / "tiny"), max_steps=100_000, checkpoint_every_steps=50)
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe.model_dump(mode="json", exclude_none=True)))
    words = ["train", "--config", tmp_path / "recipe.yaml", "--run", tmp_path / "run", "--device", "cpu"]
    with Processes([*words, "--upload", "s3://bucket/runs/stopped"], 2) as started:
        deadline = time.monotonic() + 60
        while not list_checkpoints(tmp_path / "run") and time.monotonic() < deadline:
            time.sleep(0.05)
        started.processes[1].send_signal(signal.SIGUSR1)
        started.processes[1].wait(60)
        started.processes[0].send_signal(signal.SIGTERM)  # as a launcher does when one has ended
        ended = started.wait(60)
    assert [one.returncode for one in ended] == [143, 143], ended[0].stderr
    assert "SIGUSR1: stopped after step" in ended[0].stderr
    here = {f"checkpoints/{folder.name}/checkpoint.json" for folder in list_checkpoints(tmp_path / "run")}
    assert here <= {*names("s3://bucket/runs/stopped")}


SMOKE = ("--preset", "avatars", "--size", "smoke")


@pytest.mark.parametrize(
    "words",
    [
        ("plot", "architecture", "{run}", "--out", "a.png"),
        ("plot", "schedule", "{run}", "--out", "s.png"),
        ("plot", "curves", "{run}", "--out", "c.png"),
        ("plot", "timelapse", "{run}", "--out", "t.gif"),
        ("plot", "latents", "{latents}", "--out", "l.png"),
        pytest.param(
            ("train", *SMOKE, "--data", "{latents}", "--run", "new", "--dry-run"), marks=pytest.mark.slow
        ),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_commands_read_far_runs_and_latents(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latents = write_latents(tmp_path / "tiny")
    train(denoising_recipe(latents), tmp_path / "run", device="cpu")
    places = {
        "run": put(tmp_path / "run", "s3://bucket/runs/read"),
        "latents": put(latents, "s3://bucket/latents/read"),
    }
    monkeypatch.chdir(tmp_path)
    assert told([word.format(**places) for word in words]) == 0


def test_a_missing_bucket_is_told_with_exit_code_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(["encode", "s3://no-such-bucket/faces", "--autoencoder", "identity", "--out", "x"]) == 4
    error = capsys.readouterr().err
    assert "no-such-bucket" in error
    assert "Traceback" not in error


def test_denied_access_is_told_with_exit_code_4(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with proxy(server, denies=True) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        assert told(["eval", "classifier", "s3://bucket/runs/x", "s3://bucket/faces"]) == 4
    error = capsys.readouterr().err
    assert "403" in error
    assert "AWS_PROFILE" in error


def test_a_store_that_is_not_there_is_told_with_exit_code_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert told(["plot", "curves", "s3://bucket/runs/none", "--out", "x.png"]) == 4
    assert "network" in capsys.readouterr().err
