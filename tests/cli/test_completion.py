"""Shell completion knows the names and costs nothing."""

from __future__ import annotations

import os
import subprocess
import sys

from facegen.cli.completion import attribute_requests, dataset_kinds, preset_names, sampler_kinds
from facegen.config import composition
from facegen.config.kinds import kinds_of


def test_completed_names_are_the_ones_the_library_knows() -> None:
    assert [kind.replace("-", "_") for kind in dataset_kinds()] == kinds_of("datasets")
    assert sampler_kinds() == kinds_of("samplers")
    assert preset_names() == composition.preset_names()


def test_the_attribute_being_typed_is_completed_and_the_others_stay() -> None:
    assert attribute_requests("Smiling=1,eyeg") == ["Smiling=1,Eyeglasses="]
    assert "Smiling=" in attribute_requests("Smi")


def test_bash_completion_offers_subcommands_and_presets() -> None:
    def complete(line: str) -> list[str]:
        environment = {
            **os.environ,
            "_FACEGEN_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split(" ")) - 1),
        }
        code = "from facegen.cli.app import main; main()"
        result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        return result.stdout.split()

    assert complete("facegen tr") == ["train"]
    assert "avatars" in complete("facegen train --preset ava")
