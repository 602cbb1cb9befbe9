"""Help texts: every command has one, with examples that are real."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from support.command_lines import WHOLE, all_commands, parse_command_line
from typer.testing import CliRunner

from facegen.cli.app import COMMANDS as LISTED
from facegen.cli.app import app
from facegen.config.composition import preset_names

COMMANDS = sorted(all_commands())
OURS = ("torch", "numpy", "pandas", "pyarrow", "PIL", "yaml", "diffusers", "transformers")
HEAVY = (*OURS, "pydantic", "rich")  # newer typers parse with pydantic and print with rich


def _examples(help_text: str) -> list[str]:
    return [line.replace("\\[", "[") for line in re.findall(r"^  \[cyan\](.*)\[/\]$", help_text, re.M)]


@pytest.mark.parametrize("words", ["", "eval", "config", *COMMANDS])
def test_every_command_explains_itself_and_shows_examples(words: str) -> None:
    result = CliRunner().invoke(app, [*words.split(), "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output
    assert "Examples" in result.output
    assert "facegen " in result.output.split("Examples")[1]


@pytest.mark.parametrize("words", ["eval", "config", *COMMANDS])
def test_examples_in_the_help_are_accepted_by_the_parser(words: str) -> None:
    first, *inner = words.split()
    command = WHOLE[first]
    for word in inner:
        command = command.commands[word]
    examples = _examples(command.help)
    assert examples
    for example in examples:
        assert len(example) <= 76, "longer lines wrap in the help"
        name, parameters = parse_command_line(example)
        assert name.startswith(words)
        if parameters.get("preset"):
            assert parameters["preset"] in preset_names()


@pytest.mark.parametrize("words", COMMANDS)
def test_every_option_has_a_help_text(words: str) -> None:
    for parameter in all_commands()[words].params:
        assert getattr(parameter, "help", None), f"{words}: {parameter.name}"


def test_no_command_at_all_shows_the_help() -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert "Usage: facegen" in result.output


def test_the_list_of_commands_says_what_they_say_of_themselves() -> None:
    assert {name: one.short_help for name, one in WHOLE.items()} == LISTED


@pytest.mark.parametrize("before", [[], ["--"]])
def test_a_listed_command_runs_as_it_is(before: list[str]) -> None:
    result = CliRunner().invoke(app, [*before, "version"])
    assert result.exit_code == 0
    assert result.output.startswith("facegen")
    result = CliRunner().invoke(app, [*before, "version", "--no-such"])
    assert result.exit_code == 2


@pytest.mark.parametrize(("word", "nearest"), [("sampel", "sample"), ("trian", "train")])
def test_a_command_that_does_not_exist_is_answered_with_the_nearest(word: str, nearest: str) -> None:
    result = CliRunner().invoke(app, [word])
    assert result.exit_code == 2
    assert f"Did you mean '{nearest}'?" in result.output


def test_the_command_line_imports_nothing_heavy() -> None:
    code = (
        "import sys; from facegen.cli.app import COMMANDS, part\n"
        "ours = sorted(name for name in sys.modules if name.startswith('facegen.cli.'))\n"
        "for name in COMMANDS: part(name)\n"
        f"print(ours, [name for name in {HEAVY} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['facegen.cli.app', 'facegen.cli.command', 'facegen.cli.completion'] []"


def test_help_is_rendered_without_heavy_imports() -> None:
    code = (
        "import sys, atexit\n"
        f"heavy = {OURS}\n"
        "atexit.register(lambda: print('HEAVY', [n for n in heavy if n in sys.modules]))\n"
        "sys.argv = ['facegen', 'train', '--help']\n"
        "from facegen.cli.app import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in result.stdout


@pytest.mark.parametrize(
    ("words", "lacks"),
    [
        ([], (*OURS, "pydantic", "statistics")),
        (["bench"], (*OURS, "statistics")),
        (["eval", "fid"], (*OURS, "statistics")),
    ],
)
def test_the_help_opens_nothing_that_only_running_needs(words: list[str], lacks: tuple[str, ...]) -> None:
    code = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print('HEAVY', [n for n in {lacks} if n in sys.modules]))\n"
        f"sys.argv = ['facegen', *{words}, '--help']\n"
        "from facegen.cli.app import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in result.stdout


def test_python_dash_m_is_the_same_command() -> None:
    result = subprocess.run([sys.executable, "-m", "facegen", "version"], capture_output=True, text=True)
    assert result.returncode == 0
    assert result.stdout.startswith("facegen")


def test_brackets_are_shown_and_not_taken_for_markup() -> None:
    assert "pip install 'facegen[web]'" in CliRunner().invoke(app, ["studio", "--help"]).output
