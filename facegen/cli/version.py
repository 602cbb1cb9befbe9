"""`facegen version`."""

from __future__ import annotations

import sys

import typer

from facegen import __version__
from facegen.cli.options import Json, described

STANDS_ON = (
    "torch",
    "diffusers",
    "transformers",
    "torch-fidelity",
    "safetensors",
    "pyarrow",
    "pandas",
    "numpy",
)


def register(app: typer.Typer) -> None:
    app.command("version", **described(ABOUT, "facegen version", "facegen version --json"))(version)


ABOUT = (
    "Print the versions of facegen and what it stands on.",
    "Belongs into every bug report.",
)


def version(as_json: Json = False) -> None:
    import json
    import platform

    versions = {"facegen": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in STANDS_ON:
        versions[name] = library_version(name)
    if as_json:
        json.dump(versions, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        for name, value in versions.items():
            print(f"{name:15} {value}")


def library_version(name: str) -> str:
    """Version of an installed distribution, or "not installed"."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed_version

    try:
        return installed_version(name)
    except PackageNotFoundError:
        return "not installed"
