"""A page for every command, of the texts that its --help is made of."""

from __future__ import annotations

import inspect
import re
from typing import Any

from facegen.cli.app import ABOUT, COMMANDS, part, whole
from facegen.cli.command import Group, name_of, read_docstring

FOLDER = "reference/commands/"
TYPED = re.compile(r"('facegen[^']*'|(?<![\w-])--[a-z][a-z-]*)")  # in running text
QUOTE = "'"


def pages() -> dict[str, str]:
    """Where each page stands, and its markdown."""
    about, _ = read_docstring(ABOUT)
    made, index = {}, ["# Commands", *map(plain, about)]
    for name in COMMANDS:
        one, known = part(name), whole(name)
        first, text = _group(one, known) if isinstance(one, Group) else _page(one, known, name)
        made[f"{FOLDER}{name}.md"] = f"# facegen {name}\n\n{text}"
        index.append(f"[`facegen {name}`]({name}.md)\n:   {first}")
    return {f"{FOLDER}index.md": "\n\n".join(index), **made}


def plain(text: str) -> str:
    """Text of the command line as markdown: what is typed as code, the rest as it stands."""
    parts = re.split(TYPED, text.replace("\\[", "["))
    parts[1::2] = [f"`{typed.strip(QUOTE)}`" for typed in parts[1::2]]
    parts[::2] = [re.sub(r"([\\`*_<>\[\]|{}])", r"\\\1", told) for told in parts[::2]]
    return "".join(parts)


def _page(one: Any, known: Any, name: str) -> tuple[str, str]:
    return plain(read_docstring(one.__doc__)[0][0]), _described(one, known, name, "##")


def _group(group: Group, known: Any) -> tuple[str, str]:
    about = [plain(" ".join(text.split())) for text in inspect.cleandoc(group.about).split("\n\n")]
    for inner in group.commands:
        words = f"{group.name} {name_of(inner)}"
        about.append(f"## {words}\n\n{_described(inner, known.commands[name_of(inner)], words, '###')}")
    return about[0], "\n\n".join(about)


def _described(function: Any, known: Any, words: str, level: str) -> str:
    """What a command does, its usage, examples, arguments and options."""
    about, examples = read_docstring(function.__doc__)
    context = known.make_context(words, [], resilient_parsing=True)
    usage = " ".join(["facegen", words, *known.collect_usage_pieces(context)])
    panels: dict[str, list[str]] = {"Arguments": [], "Options": []}
    for one in known.get_params(context):
        kind = "Options" if one.param_type_name == "option" else "Arguments"
        names, told = one.get_help_record(context)
        panel = panels.setdefault(getattr(one, "rich_help_panel", None) or kind, [])
        panel.append(f"`{names}`\n:   {plain(told)}\n")
    parts = [*map(plain, about), f"```text\n{usage}\n```", "\n".join(["```bash", *examples, "```"])]
    for panel, entries in panels.items():
        anchor = re.sub(r"\W+", "-", f"{words} {panel}").lower()
        parts += [f"{level} {panel} {{ #{anchor} }}", "\n".join(entries)] if entries else []
    return "\n\n".join(parts)
