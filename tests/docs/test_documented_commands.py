"""Every command line in the documentation is one the real parser takes, and every link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.command_lines import all_commands, commands_in, parse_command_line

from facegen.config.composition import preset_names

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = [(page.relative_to(ROOT), line) for page in PAGES for line in commands_in(page.read_text("utf-8"))]


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[f"{page}: {line}" for page, line in COMMANDS])
def test_documented_commands_are_accepted_by_the_parser(page: Path, line: str) -> None:
    _, parameters = parse_command_line(line)
    preset = parameters.get("preset") or (parameters.get("name") if " show " in line else None)
    if preset and preset != "NAME":
        assert preset in preset_names()


def test_the_readmes_first_faces_its_demo_and_its_tests_are_each_one_command() -> None:
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert 'pip install . && facegen sample --prompt "' in blocks[0]
    assert blocks[1].strip() == "facegen demo --out demo"
    assert 'pip install ".[test]" && pytest' in [block.strip() for block in blocks]


def test_every_command_is_documented() -> None:
    named = {parse_command_line(line)[0] for _, line in COMMANDS}
    assert set(all_commands()) - named <= {"version"}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_python_in_the_pages_is_python(page: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.S):
        compile(block, str(page), "exec")


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    with pytest.raises(AssertionError, match="no command"):
        parse_command_line("facegen trian --run x")
    with pytest.raises(Exception, match="No such option"):
        parse_command_line("facegen train --run x --nothing")
