"""Latents under bit flips, cuts, kills and changed sources (faults 8 to 12 and 39)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_dataset import write_autoencoder, write_dataset

from facegen.autoencoders import load_autoencoder
from facegen.encoding.encode import EncodeOptions, EncodeSummary, encode
from facegen.errors import DataError, StorageError, UsageError
from facegen.formats.files import sha256_of
from facegen.formats.latents import LatentStore
from facegen.progress import SilentProgress

OPTIONS: dict[str, Any] = {"batch_size": 2, "shard_size": 4, "device": "cpu"}
SHARD = "latents-train-00001.safetensors"

KILLED_AFTER_TWO_SHARDS = """
import os, signal, sys
from pathlib import Path
from facegen.progress import SilentProgress
from facegen.encoding import shards as _latent_shards
from facegen.encoding.encode import EncodeOptions, encode

whole, written = _latent_shards.write_tensors, []

def killed(folder, name, tensors):
    if len(written) == 2:
        if sys.argv[4] == "half-written":
            (folder / f".{name}.{os.getpid()}.tmp").write_bytes(b"half")
        if sys.argv[4] == "written-but-not-noted":
            whole(folder, name, tensors)
        os.kill(os.getpid(), signal.SIGKILL)
    written.append(name)
    return whole(folder, name, tensors)

_latent_shards.write_tensors = killed
options = EncodeOptions(batch_size=2, shard_size=4, device="cpu", flips=True)
encode(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), options, SilentProgress())
"""


@pytest.fixture
def sources(tmp_path: Path) -> tuple[Path, str]:
    write_dataset(tmp_path / "data")
    return tmp_path / "data", str(write_autoencoder(tmp_path / "ae"))


def run(
    sources: tuple[Path, str], out: Path, progress: SilentProgress | None = None, **changes: Any
) -> EncodeSummary:
    options = EncodeOptions(**{**OPTIONS, **changes})
    return encode(*sources, out, options, progress or SilentProgress())


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): sha256_of(p) for p in folder.rglob("*") if p.is_file()}


def flip_one_bit(path: Path, offset: int = -3) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_a_flipped_bit_is_found_and_the_shard_named(sources, tmp_path: Path) -> None:
    run(sources, tmp_path / "out")
    flip_one_bit(tmp_path / "out" / SHARD)
    with pytest.raises(StorageError, match=rf"{SHARD}' is corrupt: its checksum") as caught:
        LatentStore.open(tmp_path / "out", verify=True)
    assert caught.value.exit_code == 5
    mending = f"facegen encode DATASET --autoencoder NAME_OR_PATH --out {tmp_path / 'out'}"
    assert str(caught.value).endswith(mending)  # and not --afresh, which would make everything anew


@pytest.mark.parametrize("verify", [False, True])
def test_a_truncated_shard_is_named(sources, tmp_path: Path, verify: bool) -> None:
    run(sources, tmp_path / "out")
    shard = tmp_path / "out" / SHARD
    os.truncate(shard, shard.stat().st_size - 7)
    with pytest.raises(StorageError, match=rf"{SHARD}' is \d+ bytes, not \d+: truncated"):
        LatentStore.open(tmp_path / "out", verify=verify)


@pytest.mark.parametrize("name", [SHARD, "records-validation.parquet"])
def test_a_missing_file_is_named(sources, tmp_path: Path, name: str) -> None:
    run(sources, tmp_path / "out")
    (tmp_path / "out" / name).unlink()
    with pytest.raises(StorageError, match=rf"{name}' is missing"):
        LatentStore.open(tmp_path / "out")


@pytest.mark.parametrize("resume", [True, False])
def test_encoding_again_over_damaged_latents_mends_them(sources, tmp_path: Path, resume: bool) -> None:
    run(sources, tmp_path / "out")
    before = contents(tmp_path / "out")
    flip_one_bit(tmp_path / "out" / SHARD)
    run(sources, tmp_path / "out", resume=resume)
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("moment", ["between-shards", "half-written", "written-but-not-noted"])
def test_encoding_killed_and_repeated_gives_the_same_bytes(sources, tmp_path: Path, moment: str) -> None:
    run(sources, tmp_path / "whole", flips=True)
    out = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED_AFTER_TWO_SHARDS, str(sources[0]), sources[1], str(out), moment]
    killed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    first = out / "latents-train-00000.safetensors"
    stamp = first.stat().st_mtime_ns
    with pytest.raises(DataError, match="not a folder of finished latents"):
        LatentStore.open(out)
    summary = run(sources, out, flips=True)
    assert summary.images_encoded == 16 - 2 * 4  # two of the shards stood
    assert first.stat().st_mtime_ns == stamp
    assert contents(out) == contents(tmp_path / "whole")


def test_a_shard_damaged_while_encoding_was_stopped_is_encoded_again(
    sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(sources, tmp_path / "whole")
    out = tmp_path / "out"
    stop_after(monkeypatch, shards=2)
    with pytest.raises(KeyboardInterrupt):
        run(sources, out)
    monkeypatch.undo()
    flip_one_bit(out / "latents-train-00000.safetensors")
    progress = SilentProgress()
    run(sources, out, progress)
    assert "latents-train-00000.safetensors' was damaged" in progress.warned[0]
    assert contents(out) == contents(tmp_path / "whole")


def stop_after(monkeypatch: pytest.MonkeyPatch, shards: int) -> None:
    from facegen.encoding import shards as _latent_shards

    whole, written = _latent_shards.write_tensors, []

    def stopping(folder: Path, name: str, tensors: dict[str, torch.Tensor]) -> Any:
        if len(written) == shards:
            raise KeyboardInterrupt
        written.append(name)
        return whole(folder, name, tensors)

    monkeypatch.setattr(_latent_shards, "write_tensors", stopping)


@pytest.mark.parametrize("finished", [True, False])
def test_other_weights_are_refused_with_both_fingerprints(
    sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    out = tmp_path / "out"
    if finished:
        run(sources, out)
    else:
        stop_after(monkeypatch, shards=1)
        with pytest.raises(KeyboardInterrupt):
            run(sources, out)
        monkeypatch.undo()
    before = contents(out)
    old = load_autoencoder(sources[1]).fingerprint
    flip_one_bit(Path(sources[1]) / "model.safetensors")  # one weight
    new = load_autoencoder(sources[1]).fingerprint
    with pytest.raises(UsageError) as caught:
        run(sources, out)
    told = str(caught.value)
    assert old[:12] in told
    assert new[:12] in told
    assert f"facegen encode {sources[0]} --autoencoder {sources[1]} --out {out} --afresh" in told
    assert contents(out) == before


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dtype": "bfloat16"}, "dtype float32 there, bfloat16 now"),
        ({"flips": True}, "flips False there, True now"),
        ({"shard_size": 8}, "shard_size 4 there, 8 now"),
        ({"limit": 3}, "limit None there, 3 now"),
    ],
)
def test_other_numbers_are_refused(sources, tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    run(sources, tmp_path / "out")
    with pytest.raises(UsageError, match=told):
        run(sources, tmp_path / "out", **changes)


def test_another_data_set_is_refused(sources, tmp_path: Path) -> None:
    run(sources, tmp_path / "out")
    write_dataset(tmp_path / "other", seed=1)
    with pytest.raises(UsageError, match=r"dataset \w{12} there, \w{12} now"):
        run((tmp_path / "other", sources[1]), tmp_path / "out")


def test_a_data_set_edited_after_it_was_prepared_is_refused(sources, tmp_path: Path) -> None:
    write_dataset(tmp_path / "other", seed=1)
    name = "data/train-00000-of-00001.parquet"
    (sources[0] / name).write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(DataError, match="was changed after it was prepared"):
        run(sources, tmp_path / "out")


def test_a_full_disk_leaves_what_stood_and_encoding_goes_on_later(sources, tmp_path: Path) -> None:
    run(sources, tmp_path / "whole")
    largest = max(p.stat().st_size for p in (tmp_path / "whole").glob("latents-*"))
    resource = pytest.importorskip("resource", reason="the size of files is limited by POSIX alone")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest - 1, hard))
        with pytest.raises(StorageError, match="File too large") as caught:
            run(sources, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.exit_code == 5
    assert not list((tmp_path / "out").glob(".*.tmp"))
    run(sources, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_the_first_batch_is_there_at_once(sources, tmp_path: Path) -> None:
    run(sources, tmp_path / "out")
    started = time.perf_counter()
    LatentStore.open(tmp_path / "out").split("train").gather(torch.arange(4))
    assert time.perf_counter() - started < 1.0
