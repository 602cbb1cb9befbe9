"""`facegen train` as one line for start and restart, and what may be said beside `--resume`."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.training_parts import write_latents
from typer.testing import CliRunner, Result

from facegen.cli.app import app
from facegen.formats.run import RunDirectory

RECIPE = ("--preset", "avatars", "--data", "latents", "--size", "smoke", "--set", "data.flip=false")


def train(*words: str) -> Result:
    return CliRunner().invoke(app, ["train", "--run", "run", "--device", "cpu", *words])


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_latents(tmp_path / "latents")
    monkeypatch.chdir(tmp_path)


def test_one_line_starts_goes_on_and_says_that_it_is_done() -> None:
    line = (*RECIPE, "--set", "optimizer.lr_schedule=constant", "--resume", "auto")
    assert "Training for 4 steps" in train(*line).stderr
    assert "This run is done: all 4 steps" in train(*line).stderr
    extended = train("--extend", "2")
    assert "From step 5 on: training.max_steps 4 -> 6." in extended.stderr
    assert "Resuming after step 4 of 6 steps" in extended.stderr
    done = train(*line)
    assert (done.exit_code, "all 6 steps" in done.stderr) == (0, True)


@pytest.mark.parametrize(
    "words", [("--resume",), ("--resume", "must"), ("--resume", "--set", "ema.decay=0.5")]
)
def test_a_bare_resume_goes_on_with_a_run_and_starts_none(words: tuple[str, ...]) -> None:
    refused = train(*words)
    assert (refused.exit_code, "nothing to resume" in refused.stderr) == (2, True)
    train(*RECIPE)
    assert train(*words).exit_code == 0


def test_a_value_set_back_to_that_of_the_start_is_a_change_too() -> None:
    train(*RECIPE)
    for decay in ("0.5", "0.99"):
        first = RunDirectory(Path("run")).first_recipe().ema.decay
        train("--resume", "--set", f"ema.decay={decay if decay == '0.5' else first}")
    changes = [event.changes["ema.decay"] for event in RunDirectory(Path("run")).history()]
    assert changes == [(first, 0.5), (0.5, first)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--extend", "0"), "--extend"),
        (("--extend", "-5"), "--extend"),
        (("--extend", "5"), "nothing to resume in 'run'"),
        ((*RECIPE, "--extend", "5"), "no run in 'run' to extend"),
        (("--resume", "sometimes"), "--resume"),
        ((*RECIPE, "--resume", "--from", "other"), "--from starts a new run"),
        ((*RECIPE, "--from", "nowhere"), "'nowhere' holds no checkpoint"),
    ],
)
def test_bad_input_is_refused_and_makes_no_run(words: tuple[str, ...], told: str) -> None:
    refused = train(*words)
    assert refused.exit_code in (2, 4)
    assert told in refused.stderr
    assert not RunDirectory(Path("run")).exists
