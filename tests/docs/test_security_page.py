"""SECURITY.md tells the minimum versions of pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]


def test_minimum_versions_are_those_that_are_declared() -> None:
    told = re.findall(r"^\| `([\w-]+)` \| ([\d.]+) \|", (ROOT / "SECURITY.md").read_text("utf-8"), re.M)
    declared = [
        Requirement(line)
        for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    ]
    least = {one.name: each.version for one in declared for each in one.specifier if each.operator == ">="}
    assert len(told) == 4
    assert all(least[name] == version for name, version in told)
