"""Commands from functions: what they take becomes options, and what they return is printed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.testing import CliRunner

from facegen.cli.command import Group, add, command
from facegen.options import Option, names

if TYPE_CHECKING:
    from facegen.protocols import Progress


@dataclass(frozen=True)
class Drawing:
    """A base."""

    seed: Annotated[int, Option("Seed.", min=0)] = 0


@dataclass(frozen=True)
class Images(Drawing):
    """What a field of the options holds; `most` is not to be had on the command line."""

    count: Annotated[int | None, Option("Images; left out: {most:,}.", "A panel")] = None
    most: int = 1000


@dataclass(frozen=True)
class Options:
    """Every way a field is asked for."""

    images: Images = Images(most=2000)
    kinds: Annotated[tuple[str, ...], Option("Kinds, as A,B.", names=("--kind",), read=names)] = ("a", "b")
    like: Annotated[tuple[int, ...], Option("May be given several times.")] = ()
    flips: Annotated[bool, Option("Mirror images too.")] = False


START = Options(like=(7,), kinds=())


def printed(result: dict[str, Any], loud: Annotated[bool, Option("In capitals.")] = False) -> None:
    print("SEED" if loud else "seed", result["images"]["seed"])


@command(printed)
def draw_faces(options: Options, progress: Progress, nothing: bool = False) -> dict[str, Any] | None:
    """Draw faces.

    More about it,
    on two lines.

        app draw-faces --seed 1
        app draw-faces --like 1 --like 2
    """
    progress.say("working")
    return None if nothing else asdict(options)


@command(printed)
def start(progress: Progress, options: Options = START) -> dict[str, Any]:
    """Start elsewhere.

    app start
    """
    return asdict(options)


def invoke(*words: str) -> Any:
    app = typer.Typer(rich_markup_mode="rich")
    add(app, draw_faces)
    add(app, Group("more", "About.\n\nMore.", (start, draw_faces)))
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result


def test_fields_of_dataclasses_and_of_dataclasses_in_them_are_options() -> None:
    words = ["--seed", "3", "--count", "5", "--kind", "x,y,", "--like", "1", "--like", "2", "--flips"]
    assert json.loads(invoke("draw-faces", *words, "--json").stdout) == {
        "images": {"seed": 3, "count": 5, "most": 2000},
        "kinds": ["x", "y"],
        "like": [1, 2],
        "flips": True,
    }


def test_what_is_left_out_is_the_dataclass_own_default_or_the_parameters() -> None:
    assert json.loads(invoke("draw-faces", "--json").stdout) == json.loads(json.dumps(asdict(Options())))
    assert json.loads(invoke("more", "start", "--json").stdout) == json.loads(json.dumps(asdict(START)))


def test_the_printing_function_has_options_of_its_own() -> None:
    assert invoke("draw-faces", "--seed", "4").stdout == "seed 4\n"
    assert invoke("draw-faces", "--seed", "4", "--loud").stdout == "SEED 4\n"


def test_no_result_prints_nothing() -> None:
    assert invoke("draw-faces", "--nothing", "--json").stdout == ""


def test_quiet_silences_the_progress() -> None:
    assert "working" in invoke("draw-faces").stderr
    assert invoke("draw-faces", "--quiet").stderr == ""


def test_help_is_the_docstring_with_examples_and_values_of_other_fields() -> None:
    shown = invoke("draw-faces", "--help").output
    assert "More about it, on two lines." in shown
    assert "app draw-faces --like 1 --like 2" in shown.split("Examples")[1]
    assert "left out: 2,000." in shown.split("A panel")[1]
    assert "[default: a,b]" in shown


def test_a_group_shows_the_first_example_of_each_command() -> None:
    examples = invoke("more", "--help").output.split("Examples")[1]
    assert "app start" in examples
    assert "app draw-faces --seed 1" in examples
    assert "--like 1" not in examples
