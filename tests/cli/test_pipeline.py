"""The commands one after another, as a person types them, in the smallest size."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from facegen.cli.app import app


class _Folder:
    """Runs commands in one folder; `shown` keeps what each printed on stdout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shown: dict[str, str] = {}

    def run(self, *words: str) -> Result:
        result = CliRunner().invoke(
            app, [*words, "--device", "cpu"] if words[0] != "prepare" else list(words)
        )
        assert result.exit_code == 0, result.stderr
        return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> _Folder:
    """Avatars, a classifier, pixel latents and a generator, made by commands."""
    made = _Folder(tmp_path_factory.mktemp("pipeline"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made.root)
        prepare = ("prepare", "avatars", "--out", "data", "--count", "64", "--size", "32", "--workers", "1")
        made.shown["prepare"] = made.run(*prepare, "--splits", "0.5,0.5,0").stdout
        smoke = ("--size", "smoke")
        made.shown["train"] = made.run(
            "train", "--preset", "avatars-classifier", "--data", "data", "--run", "judge", *smoke
        ).stdout
        made.shown["encode"] = made.run(
            "encode", "data", "--autoencoder", "identity", "--out", "latents"
        ).stdout
        made.run("train", "--preset", "avatars", "--data", "latents", "--run", "run", *smoke, "--json")
    return made


@pytest.fixture(autouse=True)
def _inside(folder: _Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.root)


def test_prepare_shows_counts_and_attribute_rates(folder: _Folder) -> None:
    assert re.search(r"train +32", folder.shown["prepare"])
    assert re.search(r"Smiling +\d+\.\d %", folder.shown["prepare"])


def test_train_and_encode_say_what_they_made(folder: _Folder) -> None:
    assert re.search(r"Run +judge\n", folder.shown["train"])
    assert re.search(r"Sample shape +3 x 32 x 32\n", folder.shown["encode"])


def test_a_dry_run_prints_the_recipe_and_makes_nothing(folder: _Folder) -> None:
    smoke = ("--preset", "avatars", "--size", "smoke", "--data", "latents")
    result = folder.run("train", *smoke, "--run", "dry", "--dry-run")
    assert "kind: denoising" in result.stdout
    assert "parameters" in result.stderr
    assert re.search(r"About .* memory and .* MB of disk", result.stderr)
    assert not Path("dry").exists()


def test_a_finished_run_is_resumed_without_naming_its_preset_again(folder: _Folder) -> None:
    assert "Steps" in folder.run("train", "--run", "run", "--resume").stdout


def test_sample_tells_what_it_understood(folder: _Folder) -> None:
    result = folder.run("sample", "run", "--prompt", "smiling unicorn", "--count", "2", "--out", "one")
    assert "'smiling' as Smiling=1" in result.stdout
    assert "unicorn" in result.stdout
    assert len(list(Path("one").glob("seed-*.png"))) == 2


def test_json_on_stdout_is_nothing_but_json(folder: _Folder) -> None:
    result = folder.run(
        "sample", "run", "--attributes", "Smiling=1", "--count", "1", "--out", "two", "--json"
    )
    assert json.loads(result.stdout)["paths"] == ["two/seed-00000000.png"]


def test_the_evaluations_print_scores_with_what_stands_beside_them(folder: _Folder) -> None:
    shown = folder.run(
        "eval", "fid", "run", "--reference", "data", "--features", "classifier:judge", "--num-samples", "16"
    ).stdout
    assert re.search(r"^ *Fréchet distance +\S+ +\S+ +\S+ to \S+", shown, re.M)
    assert re.search(r"real faces in their place +\d+, held-out", shown)
    shown = folder.run("eval", "attributes", "run", "--classifier", "judge", "--num-samples", "16").stdout
    assert re.search(r"everything asked for +\d+\.\d % +\d+\.\d–\d+\.\d %", shown)
    assert re.search(r"right on held-out real faces +\d+\.\d %", shown)


def test_quiet_says_nothing_when_all_is_well(folder: _Folder) -> None:
    assert folder.run("sample", "run", "--count", "1", "--out", "three", "--quiet").stderr == ""
