"""`facegen version`."""

from __future__ import annotations

from facegen import __version__
from facegen.cli.command import command

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


def _print(versions: dict[str, str]) -> None:
    for name, value in versions.items():
        print(f"{name:15} {value}")


@command(_print, opens_models=False)
def version() -> dict[str, str]:
    """Print the versions of facegen and what it stands on.

    Belongs into every bug report.

        facegen version
        facegen version --json
    """
    import platform

    ours = {"facegen": __version__, "python": platform.python_version(), "platform": platform.platform()}
    return ours | {name: library_version(name) for name in STANDS_ON}


def library_version(name: str) -> str:
    """Version of an installed distribution, or "not installed"."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed_version

    try:
        return installed_version(name)
    except PackageNotFoundError:
        return "not installed"
