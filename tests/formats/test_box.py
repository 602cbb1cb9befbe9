"""The model in the box: whole in the package, used from a copy, named when it is missing or damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.errors import StorageError
from facegen.formats import box
from facegen.formats.box import box_facts, is_box, opened_box, packed_box
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.far import named, near, written_beside
from facegen.formats.files import sha256_of
from facegen.models.loading import load

RUNNER = CliRunner()
MEGABYTE = 1_000_000
WEIGHTS = "checkpoints/*/**/*.safetensors"


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache and a current folder of the test's own."""
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def packed_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package's box, as a copy that may be damaged."""
    copy = tmp_path / "package" / "box"
    shutil.copytree(packed_box(), copy)
    monkeypatch.setattr(box, "packed_box", lambda: copy)
    return copy


def test_the_package_has_every_file_as_it_was_made() -> None:
    facts = box_facts()
    files = {path.relative_to(packed_box()).as_posix() for path in packed_box().rglob("*") if path.is_file()}
    assert files == {*facts["files"], "box.json"}
    assert all(sha256_of(packed_box() / name) == expected for name, expected in facts["files"].items())
    weights = sum(path.stat().st_size for path in packed_box().glob(WEIGHTS))
    assert weights <= 16 * MEGABYTE
    assert sum(path.stat().st_size for path in packed_box().rglob("*") if path.is_file()) <= 19 * MEGABYTE


def test_it_says_how_it_was_made_and_nothing_of_where() -> None:
    made = box_facts()["made"]
    presets = {name: run["preset"] for name, run in made["runs"].items()}
    assert presets == {
        "autoencoder": "box-autoencoder",
        "classifier": "box-classifier",
        "generator": "box",
        "decoder": "box-decoder",
    }
    assert all(run["seconds"] > 0 and len(run["weights_sha256"]) == 64 for run in made["runs"].values())
    for path in packed_box().rglob("*.json"):
        assert str(Path.home()) not in path.read_text(encoding="utf-8"), path
        assert "/tmp" not in path.read_text(encoding="utf-8"), path


def test_it_was_judged_and_found_to_do_as_asked() -> None:
    (report,) = packed_box().glob("evaluations/attributes-*.json")
    told = json.loads(report.read_text(encoding="utf-8"))
    assert told["num_samples"] == 1000
    assert told["generated"]["present"]["share"] >= 0.98
    ceiling = told["reconstructed"]["whole_request"]["share"]
    assert told["generated"]["whole_request"]["share"] >= 0.9 * ceiling


def test_it_is_opened_as_an_ordinary_run_from_a_copy(tmp_path: Path) -> None:
    copy = near("box")
    assert copy.is_relative_to(tmp_path / "cache")
    assert named(copy) == "box"
    assert named(copy / "recipe.yaml") == "box/recipe.yaml"
    assert written_beside(Path("box")) == copy
    generator = load("box")
    assert generator.image_size == 128
    assert len(generator.attributes) == 59
    times = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()}
    assert opened_box() == copy
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_messages_and_pictures_call_it_by_its_short_name() -> None:
    result = RUNNER.invoke(app, ["plot", "attributes", "box"])
    assert result.exit_code == 3
    assert result.stderr.startswith("Error: 'box' is neither a prepared data set")
    result = RUNNER.invoke(app, ["eval", "attributes", "box", "--classifier", "box"])
    assert result.exit_code == 2
    drawn = RUNNER.invoke(app, ["sample", "--prompt", "bald", "--count", "1", "--out", "faces"])
    assert drawn.exit_code == 0, drawn.stderr
    again = RUNNER.invoke(app, ["reproduce", "faces/seed-00000000.png", "--json"])
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout)["closeness"]["max_difference"] == 0


def test_clothes_have_the_colour_that_was_asked_for() -> None:
    generator = load("box")
    brightness = {
        color: generator.sample(f"{color} clothes, bald, no beard", count=4, seed=1).images[:, :, 120:, 50:78]
        for color in ("black", "white")
    }
    means = {color: pixels.float().mean().item() for color, pixels in brightness.items()}
    assert means["black"] < 100 < 180 < means["white"], means


def test_a_folder_of_that_name_goes_before_it() -> None:
    assert is_box("box")
    Path("box").mkdir()
    assert not is_box("box")
    assert near("box") == Path("box")


def test_a_damaged_copy_is_mended_from_the_package() -> None:
    copy = opened_box()
    weights = next(copy.glob(WEIGHTS))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    (copy / "recipe.yaml").unlink()
    assert opened_box() == copy
    assert weights.read_bytes() == whole
    assert (copy / "recipe.yaml").is_file()


@pytest.mark.parametrize("damage", ["missing", "no weights", "altered weights", "unreadable"])
def test_a_damaged_package_is_named_with_the_command_that_mends_it(packed_copy: Path, damage: str) -> None:
    weights = next(packed_copy.glob(WEIGHTS))
    if damage == "missing":
        shutil.rmtree(packed_copy)
    elif damage == "no weights":
        weights.unlink()
    elif damage == "altered weights":
        weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    else:
        (packed_copy / "box.json").write_text("{")
    with pytest.raises(StorageError, match="model in the box cannot be used") as raised:
        opened_box()
    assert "examples/box.py" in str(raised.value)
    result = RUNNER.invoke(app, ["sample", "--prompt", "smiling"])
    assert result.exit_code == 5
    assert "model in the box cannot be used" in result.stderr


def test_without_a_cache_it_is_read_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    assert opened_box() == packed_box()
    assert load_checkpoint(opened_box()).info.image_size == 128


def test_faces_are_drawn_without_naming_a_model() -> None:
    result = RUNNER.invoke(app, ["sample", "--prompt", "smiling, round glases, wings", "--count", "2"])
    assert result.exit_code == 0, result.stderr
    assert len(list(Path("samples/0001").glob("seed-*.png"))) == 2
    assert "'glases' (the nearest known: 'glasses')" in result.stderr
    assert "'wings'" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--class", "female"], "--class does not fit this model"),
        (["--prompt", "a pirate ship"], "Nothing in 'a pirate ship' was understood"),
        (["--attributes", "Smilling=1"], "Did you mean 'Smiling'?"),
        (["--prompt", "smiling, not smiling"], "asks for Smiling"),
        (["--like", "nobody.jpg"], "--like does not fit this model"),
    ],
)
def test_what_the_box_cannot_be_asked_is_refused(options: list[str], message: str) -> None:
    result = RUNNER.invoke(app, ["sample", *options])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
