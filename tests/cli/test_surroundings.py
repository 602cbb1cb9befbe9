"""What scripts and terminals ask for: JSON, and no colours."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from support.command_lines import all_commands
from typer.testing import CliRunner

from facegen.cli.app import app

REPORTS_NOTHING = {  # writes, serves, or prints what is JSON or a script already
    "config copy",
    "config schema",
    "slurm",
    "studio",
}


def shown_on_a_terminal(*words: str, **surroundings: str) -> str:
    """What a command says on a terminal of its own."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", **surroundings}
    command = [sys.executable, "-m", "facegen", *words]
    subprocess.run(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    told = os.read(ours, 100_000).decode()
    os.close(ours)
    return told


def test_colours_go_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    wrong = ("config", "show", "nothing")
    assert "\033[1;31mError:" in shown_on_a_terminal(*wrong)
    assert "\033[" not in shown_on_a_terminal(*wrong, NO_COLOR="1")


def test_whatever_reports_has_json() -> None:
    taken = {
        name: {word for one in command.params for word in one.opts}
        for name, command in all_commands().items()
    }
    without = {name for name, words in taken.items() if "--json" not in words}
    assert without == REPORTS_NOTHING
    shown = CliRunner().invoke(app, ["config", "show", "avatars", "--json"])
    assert json.loads(shown.stdout)["task"] == {"kind": "denoising"}
