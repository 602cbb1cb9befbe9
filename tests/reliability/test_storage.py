"""Folders that cannot be written to, and names as people have them (faults 13 and 27)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.generator_parts import save_run
from support.tiny_dataset import write_autoencoder, write_dataset
from support.training_parts import write_latents

from facegen.encoding.encode import encode
from facegen.encoding.options import EncodeOptions
from facegen.formats.dataset import Dataset
from facegen.formats.images import encode_png
from facegen.formats.latents import LatentStore
from facegen.preparation.options import PrepareOptions
from facegen.preparation.prepare import prepare

NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
COMMANDS = """
import json, sys
from typer.testing import CliRunner
from facegen.cli.app import app
from facegen.progress import SilentProgress
ended = {}
for words in json.loads(sys.argv[1]):
    result = CliRunner().invoke(app, words)
    ended[words[0]] = [result.exit_code, result.stderr]
print(json.dumps(ended))
"""


@pytest.mark.slow
def test_a_read_only_output_is_refused_before_work_starts(tmp_path: Path) -> None:
    if not shutil.which("unshare") or subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a disk of their own")
    data, autoencoder = write_dataset(tmp_path / "data").folder, write_autoencoder(tmp_path / "ae")
    run, latents = save_run(tmp_path), write_latents(tmp_path / "latents")
    disk = tmp_path / "disk"
    disk.mkdir()
    out = disk / "out"
    commands = [
        ["prepare", "avatars", "--out", out, "--count", "9", "--workers", "1"],
        ["encode", data, "--autoencoder", autoencoder, "--out", out, "--device", "cpu"],
        ["train", "--preset", "avatars", "--size", "smoke", "--data", latents, "--run", out],
        ["sample", run, "--count", "1", "--out", out, "--device", "cpu"],
    ]
    told = json.dumps([[str(word) for word in words] for words in commands])
    script = 'mount -t tmpfs -o ro none "$0" && exec "$@"'
    program = [sys.executable, "-W", "ignore", "-c", COMMANDS, told]
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", script, str(disk), *program], capture_output=True, text=True, check=True
    )
    for name, (code, error) in json.loads(done.stdout).items():
        assert code == 5, (name, error)
        assert "Read-only file system" in error, (name, error)
        assert "Traceback" not in error
        assert not any(word in error for word in ("images/s", "Step 1", "preparing images"))


@pytest.mark.parametrize("folder", ["mes données 数据", "x" * 200])
def test_names_in_any_script_with_spaces_and_very_long_ones_come_through(tmp_path: Path, folder: str) -> None:
    names = ["笑顔 é.png", "with  two spaces.png", "a'quote\".png", "n" * 240 + ".png"]
    source, data, latents = (tmp_path / folder / kind for kind in ("faces", "data", "latents"))
    source.mkdir(parents=True)
    for number, name in enumerate(names):
        image = torch.randint(0, 256, (3, 16, 16), generator=torch.Generator().manual_seed(number))
        (source / name).write_bytes(encode_png(image.byte()))
    prepare("image-folder", source, data, PrepareOptions(size=16, splits=(0.5, 0.25, 0.25), workers=1))
    dataset = Dataset.open(data)
    ids = {one for split in dataset.splits for one in dataset.split(split).frame["id"]}
    assert {os.path.splitext(name)[0] for name in names} <= {os.path.splitext(one)[0] for one in ids}
    encode(data, "identity", latents, EncodeOptions(device="cpu"))
    LatentStore.open(latents, verify=True)
