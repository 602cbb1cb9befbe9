"""The command: what it refuses, what stages tell, and that all of them go through."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_lines import all_commands

from facegen.bench import run
from facegen.bench.options import STAGES, BenchOptions
from facegen.bench.run import bench
from facegen.bench.stages.startup import COMMANDS
from facegen.bench.targets import TARGETS
from facegen.errors import UsageError
from facegen.progress import SilentProgress

ROOT = Path(__file__).resolve().parents[2]
FULL_SIZE_ALONE = {"prepare/128", "encode/serial", "startup/sample"}


def test_stages_are_the_files_in_the_folder() -> None:
    found = {path.stem for path in (ROOT / "facegen" / "bench" / "stages").glob("[!_]*.py")}
    assert found == set(STAGES)


def test_every_targets_key_begins_with_a_stage() -> None:
    assert {key.partition("/")[0] for key in TARGETS} <= set(STAGES)


def test_the_help_of_every_command_is_measured_or_that_of_another_in_its_group() -> None:
    assert {words.partition(" ")[0] for words in all_commands()} == {
        words.partition(" ")[0] for words in COMMANDS
    }


def test_an_unknown_stage_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'train'"):
        bench("trian")


@pytest.mark.parametrize("name", ["bench.csv", "bench"])
def test_a_file_of_another_suffix_is_refused_before_anything_is_measured(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.json, \.png, \.svg, \.pdf"):
        bench("load", BenchOptions(out=tmp_path / name))


def test_what_ends_a_child_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "STAGES", (*STAGES, "nowhere"))
    with pytest.raises(RuntimeError, match=r"'nowhere' ended with 1:(?s:.*)No module named"):
        run._measured("nowhere", SilentProgress(), quick=True)


@pytest.mark.slow
def test_all_stages_go_through_and_their_results_are_written_and_compared(tmp_path: Path) -> None:
    def facegen(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "facegen", "bench", *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done

    told = facegen("all", "--quick", "--out", "bench.json").stdout
    found = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    assert [stage["stage"] for stage in found["stages"]] == list(STAGES)
    keys = {finding["key"] for stage in found["stages"] for finding in stage["findings"]}
    assert set(TARGETS) - keys == FULL_SIZE_ALONE
    for stage in found["stages"]:
        assert {"facegen", "limit"} <= {way["role"] for way in stage["ways"]}
        assert all(seconds > 0 for way in stage["ways"] for seconds in way["seconds"])
        assert all(way["name"] in told for way in stage["ways"])
    compared = facegen("startup", "--quick", "--compare", "bench.json", "--json", "--out", "bench.png").stdout
    changes = json.loads(compared)["changes"]
    assert {change["name"] for change in changes} >= {"facegen --help", "python"}
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
