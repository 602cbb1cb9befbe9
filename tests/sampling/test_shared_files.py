"""What people share of a run says nothing of the machine: no path, no name of a user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.tiny_dataset import write_autoencoder, write_dataset
from support.training_parts import denoising_recipe

from facegen.encoding.encode import encode
from facegen.encoding.options import EncodeOptions
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.far import shared_path
from facegen.formats.images import read_png_text
from facegen.models.loading import load
from facegen.report.report import report
from facegen.sampling.options import SampleOptions
from facegen.sampling.sample import sample
from facegen.training.train import train

SECRET = "somebody-at-home"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained and sampled by absolute paths, from a folder elsewhere."""
    home = tmp_path_factory.mktemp(SECRET)
    dataset, autoencoder = write_dataset(home / "data"), write_autoencoder(home / "ae")
    encode(dataset.folder, str(autoencoder), home / "latents", EncodeOptions(device="cpu"))
    with pytest.MonkeyPatch.context() as patch:
        words = [f"{home}/bin/facegen", "train", "--run", f"{home}/run", f"--data={home}/latents"]
        patch.setattr("sys.argv", words)
        train(denoising_recipe(home / "latents", max_steps=2), home / "run", device="cpu")
    sample(home / "run", SampleOptions(count=2, steps=1, out=home / "faces", device="cpu"))
    report(home / "run")
    return home


def told(path: Path) -> bytes:
    """A file's bytes, and of a PNG its text, which may be packed."""
    data = path.read_bytes()
    return data + str(read_png_text(path)).encode() if path.suffix == ".png" else data


@pytest.mark.parametrize(
    "shared", ["faces", "run/checkpoints", "run/report.html", "run/README.md", "run/environment.json"]
)
def test_nothing_shared_names_a_place_on_this_machine(home: Path, shared: str) -> None:
    place = home / shared
    files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    assert files
    assert [path.name for path in files if SECRET.encode() in told(path)] == []


def test_the_run_itself_still_finds_its_data_and_a_moved_checkpoint_still_draws(
    home: Path, tmp_path: Path
) -> None:
    checkpoint = load_checkpoint(home / "run").folder
    assert load(checkpoint, "cpu").data.path == load(home / "run", "cpu").data.path == str(home / "latents")
    moved = checkpoint.rename(tmp_path / "moved")
    generator: Any = load(moved, "cpu")
    moved.rename(checkpoint)
    assert generator.data.path is None
    assert len(generator.sample(count=1, steps=1)) == 1


def test_a_path_inside_the_current_folder_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shared_path(Path("runs/a")) == shared_path(tmp_path / "runs" / "a") == "runs/a"
    assert shared_path(Path("../elsewhere/b")) == shared_path(Path("/home/me/b")) == "b"
