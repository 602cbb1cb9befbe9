"""`facegen sample --explain`: the reading as a tree or as data, without a model and with one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.generator_parts import save_run
from typer.testing import CliRunner

from facegen.cli.app import app

RUNNER = CliRunner()


def test_without_a_model_the_tree_says_that_celeba_reads_it() -> None:
    result = RUNNER.invoke(app, ["sample", "--explain", "smiling, no hat"])
    assert result.exit_code == 0
    assert "read by CelebA's 40 attributes" in result.stdout
    assert "Smiling: yes" in result.stdout
    assert "Wearing_Hat: no, by 'no'" in result.stdout


def test_a_models_own_labels_read_it_and_nothing_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = save_run(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    result = RUNNER.invoke(
        app, ["sample", str(run), "--explain", "smiling, necktie", "--json", "--device", "cpu"]
    )
    assert result.exit_code == 0
    phrases = json.loads(result.stdout)["phrases"]
    assert [phrase["labels"] for phrase in phrases] == [{"Smiling": 1}, {}]
    assert not (tmp_path / "samples").exists()


@pytest.mark.parametrize("prompt", ["no hat and blond hair", "smiling, not smiling", "zorp"])
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_refused_prompt_is_explained_and_exits_as_a_mistake(prompt: str, more: list[str]) -> None:
    result = RUNNER.invoke(app, ["sample", "--explain", prompt, *more])
    assert result.exit_code == 2
    assert "refused" in result.stdout
    assert result.stderr.startswith("Error: ")


@pytest.mark.parametrize("more", [["--count", "3"], ["--prompt", "smiling"]])
def test_options_of_drawing_do_not_go_with_it(more: list[str]) -> None:
    result = RUNNER.invoke(app, ["sample", "--explain", "smiling", *more])
    assert result.exit_code == 2
    assert "--explain draws nothing" in result.stderr
