"""The `facegen` command: its subcommands, and what a failure looks like.

Module level imports stay with typer and the standard library, in this file and in every command's, so that
`facegen --help` and shell completion answer at once; a command imports what it needs when it runs. Of those
that are not named only the list below is read: typer takes long over the options of each that it is given.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from facegen import __version__
from facegen.cli.command import Group, add, help_texts
from facegen.errors import FacegenError, MissingModelError, StorageError
from facegen.failed_imports import failed_import
from facegen.processes import is_told_elsewhere, leave

INTERRUPTED = 130
BROKEN_PIPE = 141  # 128 + SIGPIPE: what a shell reports for a program that a closed pipe ended
BUG = 1
STORAGE_ERRNOS = {  # what a disk or its rights refuse is no bug of ours
    errno.EACCES,
    errno.EDQUOT,
    errno.EIO,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
ABOUT = """From a folder of faces to a trained, sampled and judged generator.

Start with the demo; 'facegen COMMAND --help' has options and examples.

    facegen demo --out demo
    facegen prepare celeba CelebA --out data/celeba
    facegen encode data/celeba --autoencoder runs/ae --out latents/celeba
    facegen train --preset celeba-attributes --data latents/celeba --run run
    facegen sample run --prompt "a smiling woman with blond hair"
    facegen eval attributes run --classifier runs/judge
"""
COMMANDS = {
    "demo": "Do everything once, offline: draw avatars, train, sample, score.",
    "make": "From a folder of pictures to a judged generator, in the time you give it.",
    "prepare": "Make a data set from a folder, archive or hub data set of faces, or draw one.",
    "label": "Label a data set with a classifier trained here.",
    "encode": "Encode a data set into latents, what a generator is trained on.",
    "train": "Train a generator, an autoencoder or an attribute classifier.",
    "sweep": (
        "Train one recipe with many settings within a given time, and say which is best and how sure that is."
    ),
    "slurm": "Write a batch script that trains on a Slurm cluster and goes on whenever it was stopped.",
    "ema": "Average a run's weights over any width, after training.",
    "replay": "Make a step again that went wrong, and name the operation it began with.",
    "runs": "List the runs in a folder: state, steps, validation loss, best checkpoint, scores, size.",
    "verify": "Say what is whole, what is damaged, and what does not belong together.",
    "sample": "Draw faces for words, attributes or a class.",
    "edit": "Edit a photo: draw it again with something else asked.",
    "studio": "Ask a model for faces in the browser.",
    "reproduce": "Make an image again from the settings it carries.",
    "eval": "Score a generator: how close to real faces, how often as asked.",
    "compare": "Say whether two evaluations differ by more than chance, or why they cannot be compared.",
    "report": "Write one HTML page and a model card about a run.",
    "export": "Write a model for other tools, and tell how far its pictures are from facegen's.",
    "push": "Send a run or a data set to the Hugging Face hub, with a card that tells what it is.",
    "pull": "Fetch a run or a data set that 'facegen push' sent; every command then takes the folder.",
    "plot": "Draw what a run or a data set has to show.",
    "config": "Look at recipes: presets that ship with facegen, files of your own, runs.",
    "clean": "Tell what can be made again and how much room it takes; with --yes it goes.",
    "bench": "How fast facegen is here, beside what others do and what the machine can do.",
    "doctor": "Look at this computer and what is installed, and tell how to mend what is wrong.",
    "version": "Print the versions of facegen and what it stands on.",
}
"""In the order of the help, with what it says of them; each in the module of its name, groups as `GROUP`."""
MODULES = {"eval": "evaluate"}


class FacegenGroup(TyperGroup):
    """Turns whatever a command raises into a message on stderr and an exit code."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed and whole(listed.name), rest

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except FacegenError as error:
            if not is_told_elsewhere(error):
                print_error(_as_addressed(str(error)))
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            print("Interrupted.", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError as error:
            with open(os.devnull, "w") as devnull:  # or Python complains when it flushes stdout at exit
                os.dup2(devnull.fileno(), sys.stdout.fileno())
            raise typer.Exit(BROKEN_PIPE) from error
        except Exception as error:
            if (told := failed_import(error)) is not None:
                if ctx.invoked_subcommand == "doctor":  # which `facegen.__main__` starts without that library
                    raise
                print_error(told)
                raise typer.Exit(MissingModelError.exit_code) from error
            if not isinstance(error, OSError) or error.errno not in STORAGE_ERRNOS:
                raise
            print_error(f"{error.strerror}: '{error.filename}'.")
            raise typer.Exit(StorageError.exit_code) from error


def _as_addressed(message: str) -> str:
    """The message with the addresses of far data in place of where their copies stand."""
    far: Any = sys.modules.get("facegen.formats.far")  # nothing is far where it was not needed
    return message if far is None else far.told(message)


def part(name: str) -> Callable[..., None] | Group:
    """The command or group that `name` of COMMANDS stands for; its module alone is imported."""
    module = vars(import_module(f"facegen.cli.{MODULES.get(name, name)}"))
    return module.get("GROUP") or module[name]


@cache
def whole(name: str) -> Any:
    """The same as typer runs it, with its options."""
    alone = _command_line()
    add(alone, part(name))
    return typer.main.get_group(alone).commands[name]


def _command_line() -> typer.Typer:
    return typer.Typer(
        name="facegen",
        cls=FacegenGroup,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **help_texts(ABOUT),
    )


def _listed() -> None:
    raise AssertionError("a name in the list of commands; its command runs in its place")


app = _command_line()
for listed, about in COMMANDS.items():
    app.command(listed, short_help=about)(_listed)


def main() -> None:
    """Run the command line; what `facegen.__main__` starts."""
    try:
        typer.main.get_command(app)(prog_name="facegen")
    except SystemExit as ended:
        leave(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
        raise
    except Exception as error:
        if failed_import(error) is not None:
            raise  # to be told by `facegen.__main__`
        print_bug()
        leave(BUG)
        sys.exit(BUG)


def print_error(message: str) -> None:
    """Print "Error: ..." on stderr, in red on a terminal."""
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        print(f"\033[1;31mError:\033[0m {message}", file=sys.stderr)
    else:
        print(f"Error: {message}", file=sys.stderr)


def print_bug() -> None:
    """Print the current exception's traceback and where to report it, on stderr."""
    traceback.print_exc()
    print(
        f"\nThis is a bug in facegen {__version__} (Python {sys.version.split()[0]}), not a mistake of yours."
        "\nPlease report it as CONTRIBUTING.md says, with the command line and everything above.",
        file=sys.stderr,
    )
