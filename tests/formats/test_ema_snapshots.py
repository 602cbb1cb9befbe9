"""Snapshots of averages: what is kept in how many bits, kills while writing, damage, and falling back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from facegen.errors import StorageError
from facegen.formats.ema_snapshots import BUFFERS, EmaSnapshots, tensor_name


def write(run: Path, *steps: int) -> EmaSnapshots:
    snapshots = EmaSnapshots(run)
    for step in steps:
        averages = {width: {"w": torch.full((4,), width * step)} for width in (0.05, 0.1)}
        snapshots.write(step, step - 1, averages, {"seen": torch.tensor(step)})
    return snapshots


def test_snapshots_are_read_back_by_width_and_name(tmp_path: Path) -> None:
    snapshots = write(tmp_path, 10, 20)
    assert snapshots.widths == (0.05, 0.1)
    assert [(one.step, one.updates) for one in snapshots.all()] == [(10, 9), (20, 19)]
    with snapshots.opened(snapshots.all()) as (_, last):
        assert last.get_tensor(tensor_name(0.1, "w")).tolist() == [2.0] * 4
        assert last.get_tensor(tensor_name(BUFFERS, "seen")).item() == 20


def test_a_run_without_snapshots_has_none(tmp_path: Path) -> None:
    snapshots = EmaSnapshots(tmp_path)
    snapshots.drop_after(0)
    assert (snapshots.all(), snapshots.widths, list(tmp_path.iterdir())) == ((), (), [])


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0.1, -3.0], torch.float16),
        ([0.0, 0.0], torch.float16),
        ([1e6, 1.0], torch.float32),  # beyond its range
        ([1e-7, 3e-8], torch.float32),  # below what it resolves
    ],
)
def test_half_precision_is_used_where_it_holds_the_tensor(
    tmp_path: Path, values: list[float], dtype: torch.dtype
) -> None:
    snapshots = EmaSnapshots(tmp_path)
    snapshots.write(1, 1, {0.1: {"w": torch.tensor(values)}}, {})
    with snapshots.opened(snapshots.all()) as (file,):
        stored = file.get_tensor(tensor_name(0.1, "w"))
    assert stored.dtype == dtype
    assert torch.allclose(stored.float(), torch.tensor(values), rtol=1e-3, atol=0)


def test_a_kill_at_any_write_step_leaves_no_half_snapshot(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "support.killed_snapshots", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    kills = [json.loads(line) for line in result.stdout.splitlines()]
    assert not kills[-1]["killed"]
    assert len(kills) >= 6  # makes sure that the write steps were found
    for kill in kills:
        steps = [value for (value,) in kill["values"]]
        assert steps in ([1.0], [1.0, 2.0])
        files = [f"step-{int(step):08d}.safetensors" for step in steps]
        assert kill["entries"] == ["snapshots.json", *files]  # nothing is left of the killed write
    assert kills[-1]["values"] == [[1.0], [2.0]]


def test_falling_back_drops_what_came_later_and_what_no_index_names(tmp_path: Path) -> None:
    snapshots = write(tmp_path, 10, 20, 30)
    (snapshots.folder / "step-00000040.safetensors").write_bytes(b"half")
    (snapshots.folder / "width-0.1").mkdir()
    snapshots.drop_after(20)
    assert [one.step for one in snapshots.all()] == [10, 20]
    names = ["snapshots.json", "step-00000010.safetensors", "step-00000020.safetensors", "width-0.1"]
    assert sorted(path.name for path in snapshots.folder.iterdir()) == names


def test_a_snapshot_written_again_replaces_those_from_it_on(tmp_path: Path) -> None:
    snapshots = write(tmp_path, 10, 20, 30)
    write(tmp_path, 20)
    assert [one.step for one in snapshots.all()] == [10, 20]


@pytest.mark.parametrize("damage", ["missing", "cut", "altered"])
def test_a_damaged_snapshot_is_named(tmp_path: Path, damage: str) -> None:
    snapshots = write(tmp_path, 10, 20)
    file = snapshots.folder / "step-00000010.safetensors"
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(content[:-3] if damage == "cut" else content[:-1] + b"\x7f")
    with (
        pytest.raises(StorageError, match=r"step-00000010\.safetensors'.*(missing|corrupt)"),
        snapshots.opened(snapshots.all()),
    ):
        pass


@pytest.mark.parametrize("text", ["{", "[]", '{"format_version": 99}', '{"format_version": 1, "widths": 3}'])
def test_a_damaged_index_is_named(tmp_path: Path, text: str) -> None:
    snapshots = write(tmp_path, 10)
    (snapshots.folder / "snapshots.json").write_text(text)
    with pytest.raises(StorageError, match=r"snapshots\.json"):
        snapshots.all()


def test_a_full_disk_is_told_and_earlier_snapshots_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = write(tmp_path, 10)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write(tmp_path, 20)
    assert [one.step for one in snapshots.all()] == [10]
