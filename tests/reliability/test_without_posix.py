"""Where `fcntl`, `resource`, `os.pread`, `os.sched_getaffinity` and SIGUSR1 are missing (fault 48)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PARTS = """
import io, pkgutil, signal, sys, tarfile
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
import support.without_posix
import facegen
left_out = ("facegen.compat", "facegen.export.portable")  # the last is for elsewhere
for found in pkgutil.walk_packages(facegen.__path__, "facegen."):
    if found.name not in left_out and "studio" not in found.name:
        import_module(found.name)
from facegen.datasets._archives import list_archive
from facegen.formats.run import locked_run
from facegen.pool import usable_cores
from facegen.signals import StopSignals
from facegen.training.logs import memory_text
import torch

folder = Path(sys.argv[1])
contents = {f"{number}.jpg": bytes([number]) * (1000 + number) for number in range(40)}
with tarfile.open(folder / "a.tar", "w") as archive:
    for name, content in contents.items():
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
files = list_archive(folder / "a.tar").files
with ThreadPoolExecutor(8) as pool:
    assert list(pool.map(lambda name: files[name].load(), contents)) == list(contents.values())
with StopSignals() as asked, locked_run(folder / "run"):
    signal.raise_signal(signal.SIGTERM)
    assert asked.requested == signal.SIGTERM
assert usable_cores() >= 1
assert memory_text(torch.device("cpu")) == "?"
"""
WAY = [
    "prepare avatars --out data --count 64 --size 32 --workers 2",
    "train --preset avatars-classifier --data data --run judge --size smoke --device cpu",
    "encode data --autoencoder identity --out latents --device cpu",
    "train --preset avatars --data latents --run run --size smoke --device cpu",
    "sample run --prompt smiling --count 3 --out faces --device cpu",
    "eval fid run --reference data --features classifier:judge --num-samples 16 --device cpu",
]


def without_posix(code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True)


def test_everything_is_imported_and_archives_signals_and_locks_have_fall_backs(tmp_path: Path) -> None:
    done = without_posix(PARTS, str(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_way_from_nothing_to_a_score_is_gone(tmp_path: Path) -> None:
    for words in WAY:
        code = "import support.without_posix; from facegen.cli.app import main; main()"
        done = without_posix(code, *words.split(), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "faces").glob("seed-*.png"))) == 3
