"""`facegen config`: list, show, copy, validate, diff and schema of recipes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from facegen.cli.command import Group, command
from facegen.cli.completion import preset_names, recipes
from facegen.cli.results import print_facts, print_table
from facegen.options import Option

if TYPE_CHECKING:
    from facegen.formats.recipes import Checked, Written

Name = Annotated[str, Argument(help="Name of a preset.", autocompletion=preset_names)]
Named = Annotated[
    str, Argument(help="A preset, a YAML file, or the folder of a run.", autocompletion=recipes)
]


def _print_presets(presets: list[dict[str, Any]]) -> None:
    print_table("Presets", ("preset", "task", "about", "measured"), [list(one.values()) for one in presets])


@command(_print_presets, opens_models=False)
def list_() -> list[dict[str, Any]]:
    """List the presets: what each one trains, and what was measured of it.

    Any of them is a --preset of 'facegen train'.

        facegen config list
        facegen config list --json
    """
    from facegen.formats.recipes import presets

    return [asdict(one) for one in presets()]


def _print_written(written: Written) -> None:
    print(written.text, end="")


@command(_print_written, opens_models=False)
def show(
    name: Named,
    resolved: Annotated[bool, Option("Every key with its value, defaults filled in.")] = False,
) -> Written:
    """Print a recipe's YAML: of a preset or file as it is written, comments included.

    The output is the start of your own --config file.

        facegen config show celeba-attributes
        facegen config show celeba-attributes --resolved
        facegen config show runs/celeba --json
    """
    from facegen.formats.recipes import Written, text_of

    return Written(text_of(name, resolved=resolved))


@command(opens_models=False)
def copy(name: Name, out: Annotated[Path, Argument(help="The file to write; it must not be there.")]) -> None:
    """Copy a preset to a file of your own, which names its schema for editors.

    Editors with a YAML language server then complete and check its keys; 'facegen train --config my.yaml'
    trains by it.

        facegen config copy celeba-attributes my.yaml
    """
    from facegen.formats.recipes import copy

    copy(name, out)


def _print_checked(checked: Checked) -> None:
    print_facts({"Valid": checked.name, **checked.facts})


@command(_print_checked, opens_models=False)
def validate(
    name: Named,
    set_: Annotated[
        list[str] | None,
        Option("Override one value, as for 'facegen train'.", names=("--set",), completes="recipe keys"),
    ] = None,
) -> Checked:
    """Check a recipe without data: every key, kind and value, at its full and at its smoke size.

    Exit code 2 says what is wrong and what is allowed.

        facegen config validate my.yaml
        facegen config validate celeba-attributes --set optimizer.lr=2e-4
    """
    from facegen.formats.recipes import validate

    return validate(name, set_ or [])


def _print_differences(differences: list[dict[str, Any]]) -> None:
    print_table("What differs", ("key", "A", "B"), [list(one.values()) for one in differences])
    if not differences:
        print("Nothing differs.")


@command(_print_differences, opens_models=False)
def diff(a: Named, b: Named) -> list[dict[str, Any]]:
    """Tell in which keys two recipes differ, defaults filled in.

    Names of presets and what is said about them do not count.

        facegen config diff celeba-attributes flow-dit
        facegen config diff runs/one runs/two --json
    """
    from facegen.formats.recipes import difference

    return [asdict(one) for one in difference(a, b)]


@command(opens_models=False)
def schema() -> None:
    """Print the JSON schema of a recipe, for editors and other checkers.

    It knows every section and the options of every kind that ships with facegen.

        facegen config schema > recipe.schema.json
    """
    from facegen.cli.results import print_json
    from facegen.config.schema import recipe_schema

    print_json(recipe_schema())


GROUP = Group(
    "config",
    """Look at recipes: presets that ship with facegen, files of your own, runs.

    A recipe is what 'facegen train' trains by; your own starts best as a copy of a preset.
    """,
    (list_, show, copy, validate, diff, schema),
)
