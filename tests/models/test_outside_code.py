"""Code outside facegen runs where a person named it or allowed it, never because a file names it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.generator_parts import save_run
from typer.testing import CliRunner

from facegen.autoencoders import load_autoencoder
from facegen.cli.app import app
from facegen.config import kinds
from facegen.config.composition import compose
from facegen.errors import FacegenError, UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.run import RunDirectory
from facegen.models.loading import load
from facegen.plotting.subjects import subject_of
from facegen.sampling.options import SampleOptions
from facegen.sampling.sample import sample

MODULE = "from facegen.{} import Config as C, build\nclass Config(C):\n    kind: str\n"
NAMES = ("conditioners", "denoisers", "samplers")
SHIPPED = {
    "conditioners": "conditioners.attributes",
    "denoisers": "denoisers.dit",
    "samplers": "samplers.ddim",
}


@pytest.fixture(params=NAMES)
def stranger(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, str]]:
    """A run that names an outside kind in one place, and the module it is in."""
    family = request.param
    module = f"stranger_{family}"
    folder = tmp_path / "path"
    folder.mkdir()
    source = MODULE.format(SHIPPED[family]) + "class Kind:\n    Config, build = Config, staticmethod(build)\n"
    (folder / f"{module}.py").write_text(source, "utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(kinds, "_trusted", set())
    run = save_run(tmp_path)
    file = load_checkpoint(run).folder / "checkpoint.json"
    data = json.loads(file.read_text("utf-8"))
    recipe = data["recipe"]
    section = recipe["sampling"]["sampler"] if family == "samplers" else recipe[family.removesuffix("s")]
    if family == "samplers":
        section.clear()
    section["kind"] = f"{module}:Kind"
    file.write_text(json.dumps(data), "utf-8")
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe), "utf-8")
    yield run, module
    sys.modules.pop(module, None)


def test_what_a_file_names_is_refused_unimported(stranger: tuple[Path, str], tmp_path: Path) -> None:
    run, module = stranger
    for opening in (load, load_checkpoint_recipe, sample, subject_of, resumed):
        with pytest.raises(UsageError, match="code outside facegen") as refused:
            opening(str(run))
        assert "--allow-outside-code" in str(refused.value)
        assert module not in sys.modules
    assert not (tmp_path / "samples").exists()


def load_checkpoint_recipe(run: str) -> None:
    RunDirectory(Path(run)).recipe()


def resumed(run: str) -> None:
    result = CliRunner().invoke(app, ["train", "--resume", "--run", run])
    assert result.exit_code == UsageError.exit_code
    raise UsageError(result.stderr)


def test_it_is_imported_with_the_persons_word(stranger: tuple[Path, str], tmp_path: Path) -> None:
    run, module = stranger
    words = ["sample", str(run), "--count", "1", "--steps", "1", "--out", str(tmp_path / "faces")]
    assert CliRunner().invoke(app, words).exit_code == UsageError.exit_code
    assert CliRunner().invoke(app, [*words, "--allow-outside-code"]).exit_code == 0
    assert (tmp_path / "faces" / "grid.png").is_file()
    assert module in sys.modules


def test_the_library_and_the_environment_allow_it_too(
    stranger: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = stranger
    generator = load(run, "cpu", allow_outside_code=True)
    assert len(generator.sample(count=1, steps=1)) == 1  # what was allowed stays allowed
    monkeypatch.setattr(kinds, "_trusted", set())
    with pytest.raises(UsageError):
        load(run, "cpu")
    monkeypatch.setenv(kinds.ALLOW_OUTSIDE_CODE, "1")
    assert sample(run, SampleOptions(count=1, steps=1, out=tmp_path / "faces")).grid.is_file()


def test_a_recipe_of_ones_own_needs_no_option(stranger: tuple[Path, str]) -> None:
    run, module = stranger
    recipe = compose(config_file=run / "recipe.yaml")
    assert module in json.dumps(recipe.model_dump(mode="json"))
    assert module in sys.modules


def test_an_autoencoders_folder_is_held_to_the_same(tmp_path: Path) -> None:
    load_autoencoder("identity").save(tmp_path / "ae")
    file = tmp_path / "ae" / "config.json"
    content = json.loads(file.read_text("utf-8"))
    content["config"]["kind"] = "stranger_autoencoder:Kind"
    file.write_text(json.dumps(content), "utf-8")
    with pytest.raises(FacegenError, match="code outside facegen"):
        load_autoencoder(tmp_path / "ae")
