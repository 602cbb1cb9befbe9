"""Whatever a reader is given, it reads it or refuses it; `benchmarks/fuzz.py` tries 20,000 inputs each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from support.fuzzed import READERS
from support.fuzzed.found import FOUND

from facegen.errors import FacegenError

NUM_INPUTS = 8
SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz.py"


@pytest.mark.parametrize("name", READERS)
def test_whatever_it_is_given_a_reader_reads_or_refuses_it(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "not" / "above" / "other" / "tests"  # who look for weights above their own pictures
    folder.mkdir(parents=True)
    with warnings.catch_warnings(), READERS[name].opened(folder) as read:
        warnings.simplefilter("ignore")

        @settings(
            max_examples=NUM_INPUTS,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=[
                HealthCheck.too_slow,
                HealthCheck.data_too_large,
                HealthCheck.large_base_example,
            ],
        )
        @given(READERS[name].inputs)
        def each(one: Any) -> None:
            with suppress(FacegenError):
                read(one)

        each()
        for one in FOUND.get(name, list)():
            with suppress(FacegenError):
                read(one)


def test_what_was_found_belongs_to_readers() -> None:
    assert FOUND.keys() <= READERS.keys()


@pytest.mark.slow
def test_the_script_counts_and_finds_nothing(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(SCRIPT),
        str(tmp_path),
        "--inputs",
        "100",
        "--reader",
        "prompts",
        "recipes",
    ]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads((tmp_path / "readers.json").read_text())
    assert [(one["reader"], one["inputs"]) for one in counts] == [("prompts", 100), ("recipes", 100)]
    assert all(one["successes"] + one["refusals"] == 100 for one in counts)
