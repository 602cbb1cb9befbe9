"""Finding `facegen ...` lines in texts, and parsing them with the real parser without running them."""

from __future__ import annotations

import re
import shlex
from typing import Any

from facegen.cli.app import COMMANDS, whole

WHOLE: dict[str, Any] = {name: whole(name) for name in COMMANDS}
_FENCE = re.compile(r"^ *```(?:bash|console|sh)\n(.*?)^ *```", re.M | re.S)


def all_commands() -> dict[str, Any]:
    """Every command by its words: "train", "eval fid", ..."""
    found: dict[str, Any] = {}
    for name, command in WHOLE.items():
        if hasattr(command, "commands"):
            found.update({f"{name} {inner}": one for inner, one in command.commands.items()})
        else:
            found[name] = command
    return found


def commands_in(markdown: str) -> list[str]:
    """`facegen ...` lines of the shell blocks, continuation lines joined, chains taken apart."""
    lines = "\n".join(_FENCE.findall(markdown)).replace("\\\n", " ").splitlines()
    parts = [part.strip() for line in lines for part in re.split(r"&&|;", line)]
    return [part for part in parts if part.split(" ")[0] == "facegen"]


def parse_command_line(line: str) -> tuple[str, dict[str, Any]]:
    """The command's words and its parameters; nothing is run.

    Raises whatever the parser raises about an unknown command, option or value.
    """
    words = shlex.split(line, comments=True)
    assert words.pop(0) == "facegen"
    if ">" in words:
        words = words[: words.index(">")]
    known, names = WHOLE, list[str]()
    while True:
        word = words.pop(0)
        assert word in known, f"no command '{word}' in: {line}"
        command = known[word]
        names.append(word)
        if not hasattr(command, "commands"):
            break
        known = command.commands
    if "--help" in words:
        return " ".join(names), {}
    return " ".join(names), command.make_context(" ".join(names), words).params
