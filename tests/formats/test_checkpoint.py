"""Checkpoints: round trip, choosing one, damage, full disks, and nothing unpickled."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from facegen.errors import MissingModelError, StorageError
from facegen.formats.checkpoint import (
    Checkpoint,
    CheckpointInfo,
    load_checkpoint,
    resolve_checkpoint,
    save_checkpoint,
)
from facegen.formats.checkpoint_head import checkpoint_name, list_checkpoints
from facegen.types import LabelSchema, LatentScaling

INFO = CheckpointInfo(
    step=3,
    images_seen=48,
    recipe={"task": {"kind": "denoising"}},
    labels=LabelSchema(("Smiling",), {"age_group": ("young", "old")}),
    sample_shape=(4, 2, 2),
    scaling=LatentScaling((0.1,) * 4, (1.5,) * 4),
    image_size=8,
    autoencoder={"source": "identity", "kind": "identity", "fingerprint": "ab"},
    data_fingerprint="cd",
    metrics={"loss": 0.5},
)


def save(run: Path, step: int = 3, loss: float | None = None, size: int = 4) -> Checkpoint:
    info = replace(INFO, step=step, metrics={} if loss is None else {"loss": loss})
    weight = torch.full((size,), float(step))
    weights: Any = {"model": {"w": weight, "tied": weight}, "ema": {"w": weight / 2, "tied": weight / 2}}
    return save_checkpoint(run / "checkpoints" / checkpoint_name(step), info, weights, {"step": step})


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    autoencoder = tmp_path / "latents" / "autoencoder"
    autoencoder.mkdir(parents=True)
    (autoencoder / "config.json").write_text("{}")
    folder = tmp_path / "run" / "checkpoints" / "step-00000003"
    weights: Any = {"model": {"w": torch.ones(2)}, "ema": {"w": torch.zeros(2)}}
    save_checkpoint(folder, INFO, weights, {"step": 3, "optimizer": {"state": {}}}, autoencoder)
    loaded = load_checkpoint(tmp_path / "run")
    loaded.verify()
    assert replace(loaded.info, files={}) == INFO
    assert loaded.info.task == "denoising"
    assert loaded.weights("model")["w"].tolist() == [1, 1]
    assert loaded.weights()["w"].tolist() == [0, 0]
    assert loaded.training_state() == {"step": 3, "optimizer": {"state": {}}}
    assert loaded.autoencoder_folder is not None
    linked = loaded.autoencoder_folder / "config.json"
    assert os.stat(linked).st_ino == os.stat(autoencoder / "config.json").st_ino
    assert "autoencoder/config.json" in loaded.info.files


def test_a_state_that_was_read_and_goes_on_has_the_bytes_of_one_never_interrupted(tmp_path: Path) -> None:
    groups = [{"betas": (0.9, 0.99), "step": 3}]
    optimizer = {"state": {0: {"step": torch.ones(1)}}, "groups": groups}
    state: dict[str, Any] = {"step": 3, "optimizer": optimizer}
    first = save_checkpoint(tmp_path / "a", INFO, {"model": {"w": torch.zeros(2)}}, state)
    going_on = {"step": 3, "optimizer": first.training_state()["optimizer"]}  # as a trainer's does
    again = save_checkpoint(tmp_path / "b", INFO, {"model": {"w": torch.zeros(2)}}, going_on)
    one, other = ((each.folder / "training_state.pt").read_bytes() for each in (first, again))
    assert one == other


def test_the_weights_open_with_plain_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    saved = save(tmp_path)
    assert load_file(saved.folder / "model.safetensors")["tied"].tolist() == [3, 3, 3, 3]


def test_best_is_the_lowest_validation_loss_and_latest_the_last(tmp_path: Path) -> None:
    for step, loss in ((1, 0.9), (2, 0.4), (3, 0.7), (4, None)):
        save(tmp_path, step, loss)
    assert resolve_checkpoint(tmp_path).name == "step-00000002"
    assert resolve_checkpoint(tmp_path, "latest").name == "step-00000004"
    folder = tmp_path / "checkpoints" / "step-00000001"
    assert resolve_checkpoint(folder) == folder


def test_a_run_that_never_validated_gives_its_latest(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    assert resolve_checkpoint(tmp_path).name == "step-00000002"


@pytest.mark.parametrize("name", ["", "nothing-here"])
def test_a_folder_without_checkpoints_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(MissingModelError, match="holds no checkpoint") as refused:
        load_checkpoint(tmp_path / name)
    assert refused.value.exit_code == 4


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 3, loss=0.5)
    save(tmp_path, 3, loss=0.25)
    assert load_checkpoint(tmp_path).info.metrics == {"loss": 0.25}
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000003"]


def test_an_altered_weight_is_refused_naming_the_file(tmp_path: Path) -> None:
    path = save(tmp_path).folder / "ema.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(StorageError, match=r"ema\.safetensors' is corrupt"):
        load_checkpoint(tmp_path).weights("ema")
    assert load_checkpoint(tmp_path).weights("model")


def test_another_format_version_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path).folder / "checkpoint.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 99}))
    with pytest.raises(StorageError, match="format version 99; this facegen reads 1"):
        load_checkpoint(tmp_path)


def test_a_hostile_pickle_as_training_state_is_never_executed(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(canary),)

    from facegen.formats.files import sha256_of

    folder = save(tmp_path).folder
    (folder / "training_state.pt").write_bytes(pickle.dumps(Hostile(), protocol=2))
    info = json.loads((folder / "checkpoint.json").read_text())
    info["files"]["training_state.pt"] = sha256_of(folder / "training_state.pt")
    (folder / "checkpoint.json").write_text(json.dumps(info))
    with pytest.raises(StorageError, match="training_state"):
        load_checkpoint(tmp_path).training_state()
    assert not canary.exists()


def test_a_full_disk_leaves_the_earlier_checkpoint_and_no_rubbish(tmp_path: Path) -> None:
    save(tmp_path, 1)
    resource = pytest.importorskip("resource", reason="the size of files is limited by POSIX alone")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64_000, before[1]))  # a write past it fails with EFBIG
    try:
        with pytest.raises(StorageError, match="disk is full") as refused:
            save(tmp_path, 2, size=100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert refused.value.exit_code == 5
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]
    load_checkpoint(tmp_path).verify()
    save(tmp_path, 2, size=100_000)
    assert len(list_checkpoints(tmp_path)) == 2


def test_a_training_state_that_does_not_fit_is_a_full_disk_too(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="the size of files is limited by POSIX alone")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    folder = tmp_path / "checkpoints" / "step-00000001"
    resource.setrlimit(resource.RLIMIT_FSIZE, (64_000, before[1]))
    try:
        with pytest.raises(StorageError, match="disk is full"):
            save_checkpoint(folder, INFO, {"model": {"w": torch.ones(2)}}, {"big": torch.ones(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "checkpoints").iterdir()) == []
