"""What `facegen reproduce` prints, and what it exits with."""

import json
import shutil

import pytest
from PIL import Image
from support.generator_parts import save_run
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.formats.images import pil_to_png, read_png_text
from facegen.progress import SilentProgress
from facegen.sampling.sample import SampleOptions, sample


@pytest.fixture
def home(tmp_path):
    save_run(tmp_path)
    sample(tmp_path / "run", SampleOptions(count=1, out=tmp_path / "faces"), SilentProgress())
    return tmp_path


def reproduced(*words):
    return CliRunner().invoke(app, ["reproduce", *map(str, words)])


def test_it_says_that_the_pixels_are_the_same(home):
    result = reproduced(home / "faces" / "seed-00000000.png", "--out", home / "again.png")
    assert result.exit_code == 0
    assert "identical: every pixel is the same" in result.stdout
    assert "as the image says" in result.stdout
    assert str(home / "again.png") in result.stdout
    grid = reproduced(home / "faces" / "grid.png")
    assert "grid.png (a grid)" in grid.stdout


def test_it_says_how_far_off_a_changed_picture_is_and_why(home):
    image = home / "faces" / "seed-00000000.png"
    (home / "other.png").write_bytes(pil_to_png(Image.new("RGB", (16, 16)), read_png_text(image)))
    result = reproduced(home / "other.png")
    assert result.exit_code == 0
    assert "grey levels at most" in result.stdout
    assert "PSNR" in result.stdout
    assert "edited" in result.stdout


def test_a_script_gets_json_on_stdout_alone(home):
    result = reproduced(home / "faces" / "seed-00000000.png", "--json")
    told = json.loads(result.stdout)
    assert told["identical"] is True
    assert told["psnr"] is None
    assert told["same_weights"] is True


def test_exit_codes_tell_a_foreign_picture_from_missing_weights(home, monkeypatch):
    Image.new("RGB", (16, 16)).save(home / "theirs.png")
    foreign = reproduced(home / "theirs.png")
    assert foreign.exit_code == 3
    assert "carries no settings" in foreign.stderr
    shutil.rmtree(home / "run")
    monkeypatch.chdir(home)
    missing = reproduced(home / "faces" / "seed-00000000.png")
    assert missing.exit_code == 4
    assert "--run RUN" in missing.stderr
