"""`facegen presets list` and `facegen presets show`."""

from __future__ import annotations

from typing import Annotated

from typer import Argument

from facegen.cli.command import Group, command
from facegen.cli.completion import preset_names
from facegen.cli.results import print_table


def _print(presets: list[dict[str, str]]) -> None:
    print_table("Presets", ("preset", "task", "about"), [list(one.values()) for one in presets])


@command(_print, opens_models=False)
def list_() -> list[dict[str, str]]:
    """List the presets with what each one trains.

    Any of them is a --preset of 'facegen train'.

        facegen presets list
        facegen presets list --json
    """
    import yaml

    from facegen.config.composition import preset_names, preset_text

    presets = [(name, yaml.safe_load(preset_text(name))) for name in preset_names()]
    return [
        {"name": name, "task": data["task"]["kind"], "about": data.get("about", "")} for name, data in presets
    ]


@command(opens_models=False)
def show(name: Annotated[str, Argument(help="Name of a preset.", autocompletion=preset_names)]) -> None:
    """Print a preset's YAML, comments included.

    The output is the start of your own --config file.

        facegen presets show celeba-attributes
        facegen presets show celeba-attributes > my.yaml
    """
    from facegen.config.composition import preset_text

    print(preset_text(name), end="")


GROUP = Group(
    "presets",
    """Look at the training presets that ship with facegen.

    A preset is a recipe in YAML; your own starts best as a copy of one.
    """,
    (list_, show),
)
