"""docs/tutorial.md, typed and run from top to bottom in the smallest size."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from support.command_lines import commands_in
from typer.testing import CliRunner

from facegen.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
SMALLER = {  # the page's sizes, and those of the test
    r"--set training\.\w+=\d+": "--size smoke",
    r"--num-samples \d+": "--num-samples 16",
    r"--count 2500": "--count 160 --size 32",
    r"--size 64": "--size 32",
    r"--people none": "--people none --nominal-rate 0.2",
    r"(facegen prepare .*)": r"\1 --workers 1",
}


@pytest.mark.slow
def test_every_step_leads_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for language, block in re.findall(r"```(bash|python)\n(.*?)```", PAGE, re.S):
        if language == "python":
            exec(compile(block, "docs/tutorial.md", "exec"), {})
            continue
        for line in commands_in(f"```bash\n{block}```"):
            for size, smaller in SMALLER.items():
                line = re.sub(size, smaller, line)
            done = CliRunner().invoke(app, shlex.split(line)[1:])
            assert done.exit_code == 0, f"{line}\n{done.stderr}"
    table = (tmp_path / "my_faces" / "labels.csv").read_text("utf-8").splitlines()
    assert table[:3] == re.findall(r"```text\n(file,.*?)```", PAGE, re.S)[0].splitlines()
    for made in ("pictures/faces/grid.png", "runs/faces/report.html", "face.png"):
        assert (tmp_path / made).is_file()


def test_the_pages_own_sizes_are_those_that_are_made_smaller() -> None:
    text = "\n".join(commands_in(PAGE))
    assert all(re.search(size, text) for size in SMALLER)
