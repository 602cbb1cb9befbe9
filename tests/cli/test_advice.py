"""Every command and option that facegen's own messages name is one that its parser takes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_lines import all_commands, parse_command_line

PACKAGE = Path(__file__).resolve().parents[2] / "facegen"
_COMMAND = re.compile(r"facegen((?: [a-z][a-z-]+){1,2}(?: (?:--[a-z-]+|[A-Z][A-Z_]*|[\w./:=-]+))*)")
_CSS = re.compile(r"var\(--[\w-]+\)|--[\w-]+:|--series-\w+")
_OF_OTHERS = {
    "--force-reinstall",
    "--no-deps",
    "--into",
    "--help",
    "--create-dirs",
    "--repo-type",
    "--local-dir",
}  # curl's and the hub client's
_OF_OTHERS |= {"--requeue", "--kill-on-bad-exit", "--wait", "--nproc-per-node"}  # Slurm's and torchrun's
_OF_OTHERS |= {"--index-url", "--no-cache-dir", "--format", "--query-gpu"}  # pip's and the driver's
_OPTION = re.compile(r"(?<![\w`-])--([a-z][a-z-]+)")


def _strings(source: str) -> Iterator[str]:
    """Every string of a module; what an f-string fills in stands as X."""
    tree = ast.parse(source)
    formatted = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    inside = {id(part) for node in formatted for part in ast.walk(node)}
    for node in formatted:
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


STRINGS = sorted({text for path in PACKAGE.rglob("*.py") for text in _strings(path.read_text("utf-8"))})


def _advised() -> list[str]:
    """Commands with arguments or options in them, as far as they are commands and not a sentence's end."""
    found: set[str] = set()
    for text in STRINGS:
        for match in _COMMAND.finditer(text):
            words = match[1].split()
            names = next((n for n in (" ".join(words[:2]), words[0]) if n in all_commands()), None)
            if names is None:
                continue
            rest = words[len(names.split()) :]
            ends = [
                i for i, word in enumerate(rest) if re.fullmatch(r"[a-z]+", word) and not _is_value(rest, i)
            ]
            rest = rest[: min(ends, default=len(rest))]
            if any(word.startswith("--") or word.isupper() for word in rest):
                found.add(f"facegen {names} {' '.join(word.rstrip('.:') for word in rest)}")
    return sorted(found)


def _is_value(words: list[str], index: int) -> bool:
    return index > 0 and words[index - 1].startswith("--")


@pytest.mark.parametrize("line", _advised())
def test_commands_that_messages_advise_are_accepted(line: str) -> None:
    try:
        parse_command_line(re.sub(r"\b[NX]\b", "8", line))
    except Exception as error:
        told = str(error)
        if "No such option" in told or "unexpected extra argument" in told:
            raise AssertionError(f"{line}: {told}") from error


def test_options_that_messages_name_exist() -> None:
    known = {
        option
        for command in all_commands().values()
        for each in command.params
        for option in (*each.opts, *each.secondary_opts)
    }
    named = {f"--{name}" for text in STRINGS for name in _OPTION.findall(_CSS.sub("", text))}
    assert len(named) > 60
    assert named - known - _OF_OTHERS == set()
