"""How results are worded."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.report_parts import write_evaluations

from facegen.cli.results import numbers_text, print_evaluation, print_table


def test_a_few_numbers_are_listed_and_of_many_the_range_is_told() -> None:
    assert numbers_text([0.18215, 2.0]) == "0.1822, 2"
    assert numbers_text([1.5, 0.25, *[1.0] * 254]) == "0.25 to 1.5 (256 numbers)"


def test_in_a_narrow_terminal_no_number_is_cut_and_an_interval_stays_beside_its_score(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for name, value in {"COLUMNS": "40", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    columns = ("group", "KID", "95 % interval", "recall", "95 % interval")
    print_table("", columns, [("Smiling", 0.0123, "0.0111 to 0.0135", "61.2 %", "58.0–64.1 %")])
    plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    lines = [line.split("  ") for line in plain.splitlines()]
    told = [[part.strip() for part in line if part.strip()] for line in lines]
    assert ["Smiling", "0.0123", "0.0111 to 0.0135"] in told
    assert ["Smiling", "61.2 %", "58.0–64.1 %"] in told


def test_an_evaluation_is_told_with_its_pictures_and_where_it_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in write_evaluations(tmp_path):
        data = json.loads(path.read_text())
        print_evaluation(SimpleNamespace(saved_to=path, metric=data["metric"], to_json=data.copy))
        shown = capsys.readouterr().out
        assert f"{path}\n" in shown
        pictures = [key for key in ("grid", "heat_map", "picture", "plot") if data.get(key)]
        assert shown.count(f"{path.with_suffix('.png')}\n") == len(pictures), path
