"""What is whole is told so; every damage is named; what can be mended is, and nothing else is touched."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.tiny_dataset import write_autoencoder, write_dataset
from support.training_parts import denoising_recipe
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.encoding.encode import encode
from facegen.encoding.options import EncodeOptions
from facegen.errors import UsageError
from facegen.formats.checkpoint_head import list_checkpoints
from facegen.formats.run import locked_run
from facegen.sampling.options import SampleOptions
from facegen.sampling.sample import sample
from facegen.training.train import train
from facegen.verification.verify import verify

PICTURE = "faces/seed-00000000.png"
PLACES = {
    "data": "data set",
    "latents": "latents",
    "run": "run",
    "run/checkpoints/step-00000006": "checkpoint",
    PICTURE: "picture",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, latents, a run and a picture."""
    folder = tmp_path_factory.mktemp("made")
    data, autoencoder = write_dataset(folder / "data").folder, write_autoencoder(folder / "ae")
    encode(data, str(autoencoder), folder / "latents", EncodeOptions(device="cpu"))
    train(denoising_recipe(folder / "latents", max_steps=6), folder / "run", device="cpu")
    sample(folder / "run", SampleOptions(count=1, steps=1, out=folder / "faces", device="cpu"))
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """The same elsewhere, to be damaged; the run still names the latents in the first place."""
    return shutil.copytree(made, tmp_path / "copy")


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def odd(path: Path, *, repair: bool = False) -> dict[str, str]:
    return {one.thing: one.state for one in verify(path, repair=repair).findings if one.state != "whole"}


@pytest.mark.parametrize(("place", "kind"), PLACES.items())
def test_what_was_just_made_is_whole(made: Path, place: str, kind: str) -> None:
    found = verify(made / place)
    assert found.kind == kind
    assert {one.state for one in found.findings} == {"whole"}
    assert found.is_whole
    assert found.refusal is None


@pytest.mark.parametrize(
    ("place", "file", "thing"),
    [
        ("latents", "latents/latents-train-00000.safetensors", "latents-train-00000.safetensors"),
        ("latents", "latents/autoencoder/model.safetensors", "autoencoder"),
        ("run", "run/checkpoints/step-00000006/ema.safetensors", "checkpoints/step-00000006/ema.safetensors"),
        ("run", "run/checkpoints/step-00000006/checkpoint.json", "checkpoints/step-00000006/checkpoint.json"),
        ("faces/seed-00000000.png", "faces/seed-00000000.png", "pixels"),
        (
            "faces/seed-00000000.png",
            "run/checkpoints/step-00000006/ema.safetensors",
            "weights/ema.safetensors",
        ),
    ],
)
@pytest.mark.parametrize("damage", [flip_a_bit, cut])
def test_every_damage_is_named(
    copy: Path, place: str, file: str, thing: str, damage: Callable[[Path], None]
) -> None:
    damage(copy / file)
    assert odd(copy / place)[thing] in ("damaged", "not together")


def test_a_changed_data_set_and_other_data_than_the_runs_are_found(copy: Path, tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "other", seed=1).folder
    name = "data/train-00000-of-00001.parquet"
    shutil.copy(other / name, copy / "data" / name)
    assert odd(copy / "data")["images and labels"] == "damaged"
    recipe = copy / "run" / "recipe.yaml"
    path = next(line for line in recipe.read_text().splitlines() if line.startswith("  path:"))
    recipe.write_text(recipe.read_text().replace(path, f"  path: {json.dumps(str(other))}"))
    assert odd(copy / "run") == {"data": "not together"}
    recipe.write_text("task: {kind: [")
    assert odd(copy / "run", repair=True) == {"recipe.yaml": "damaged"}


def test_a_run_is_mended_from_what_still_stands_and_can_be_gone_on_with(copy: Path, made: Path) -> None:
    run = copy / "run"
    latest, before = list_checkpoints(run)[::-1][:2]
    flip_a_bit(latest / "model.safetensors")
    flip_a_bit(before / "autoencoder" / "model.safetensors")
    (run / "checkpoints" / ".step-00000009.host.1.tmp").mkdir()
    with (run / "metrics.jsonl").open("a") as log:
        log.write('{"step": 7, "gro')
    unmended = odd(run)
    assert unmended[f"checkpoints/{latest.name}/model.safetensors"] == "damaged"
    assert unmended["metrics.jsonl"] == "left over"
    assert odd(run, repair=True) == {
        "checkpoints/.step-00000009.host.1.tmp": "mended",
        f"checkpoints/{before.name}/autoencoder/model.safetensors": "mended",
        f"checkpoints/{latest.name}": "mended",
        "metrics.jsonl": "mended",
        f"checkpoints/.{latest.name}.corrupt": "left over",
    }
    mended, whole = (place / "autoencoder" / "model.safetensors" for place in (before, made / "latents"))
    assert mended.read_bytes() == whole.read_bytes()
    assert verify(run).is_whole
    done = train(denoising_recipe(made / "latents", max_steps=6), run, resume=True, device="cpu")
    assert done.steps == 6


def test_a_run_whose_checkpoints_are_all_damaged_keeps_them(copy: Path) -> None:
    before = list_checkpoints(copy / "run")
    for folder in before:
        flip_a_bit(folder / "model.safetensors")
    assert odd(copy / "run", repair=True)["checkpoints"] == "damaged"
    assert list_checkpoints(copy / "run") == before


def test_a_run_that_is_trained_now_is_not_mended(copy: Path) -> None:
    with locked_run(copy / "run"), pytest.raises(UsageError, match="is in use"):
        verify(copy / "run", repair=True)


def test_what_is_not_facegens_and_what_cannot_be_repaired_is_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of facegen's"):
        verify(tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        verify(tmp_path / "nothing")
    with pytest.raises(UsageError, match="--repair is for runs"):
        verify(made / "latents", repair=True)


def test_the_command_tells_and_ends_with_5_where_something_is_wrong(copy: Path) -> None:
    told = CliRunner().invoke(app, ["verify", str(copy / "run")])
    assert told.exit_code == 0, told.output
    flip_a_bit(copy / "latents" / "latents-train-00000.safetensors")
    told = CliRunner().invoke(app, ["verify", str(copy / "latents")])
    assert told.exit_code == 5
    assert "latents-train-00000.safetensors" in told.stdout
    assert "facegen encode DATASET" in told.stderr
    told = CliRunner().invoke(app, ["verify", str(copy / "latents"), "--json"])
    assert json.loads(told.stdout)["is_whole"] is False
