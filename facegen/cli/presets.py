"""`facegen presets list` and `facegen presets show`."""

from __future__ import annotations

from typing import Annotated

import typer

from facegen.cli.completion import preset_names
from facegen.cli.options import Json, described

ABOUT = (
    "Look at the training presets that ship with facegen.",
    "A preset is a recipe in YAML; your own starts best as a copy of one.",
)
LIST = ("List the presets with what each one trains.", "Any of them is a --preset of 'facegen train'.")
SHOW = ("Print a preset's YAML, comments included.", "The output is the start of your own --config file.")


def register(app: typer.Typer) -> None:
    presets = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
    presets.command("list", **described(LIST, "facegen presets list", "facegen presets list --json"))(
        list_presets
    )
    presets.command(
        "show",
        **described(
            SHOW, "facegen presets show celeba-attributes", "facegen presets show celeba-attributes > my.yaml"
        ),
    )(show_preset)
    app.add_typer(
        presets,
        name="presets",
        **described(ABOUT, "facegen presets list", "facegen presets show celeba-attributes"),
    )


def list_presets(as_json: Json = False) -> None:
    import json
    import sys

    import yaml

    from facegen.cli.results import print_table
    from facegen.config.composition import preset_names, preset_text

    presets = [(name, yaml.safe_load(preset_text(name))) for name in preset_names()]
    rows = [(name, data["task"]["kind"], data.get("about", "")) for name, data in presets]
    if as_json:
        entries = [{"name": name, "task": task, "about": about} for name, task, about in rows]
        json.dump(entries, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        print_table("Presets", ("preset", "task", "about"), rows)


def show_preset(
    name: Annotated[
        str, typer.Argument(help="Name of a preset.", autocompletion=preset_names, show_default=False)
    ],
) -> None:
    from facegen.config.composition import preset_text

    print(preset_text(name), end="")
