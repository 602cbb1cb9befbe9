"""The `facegen` command: its subcommands, and what a failure looks like.

Module level imports stay with typer and the standard library, in this file and in every command's, so that
`facegen --help` and shell completion answer at once; a command imports what it needs when it runs.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from facegen import __version__
from facegen.cli import (
    bench,
    clean,
    compare,
    config,
    demo,
    doctor,
    edit,
    ema,
    encode,
    evaluate,
    export,
    label,
    make,
    plot,
    prepare,
    pull,
    push,
    replay,
    report,
    reproduce,
    runs,
    sample,
    slurm,
    studio,
    sweep,
    train,
    verify,
    version,
)
from facegen.cli.command import add, help_texts, name_of
from facegen.errors import FacegenError, MissingModelError, StorageError
from facegen.processes import is_told_elsewhere, leave

INTERRUPTED = 130
BROKEN_PIPE = 141  # 128 + SIGPIPE: what a shell reports for a program that a closed pipe ended
BUG = 1
OURS = str(Path(__file__).parents[1])
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
COMMANDS = (
    demo.demo,
    make.make,
    prepare.prepare,
    label.label,
    encode.encode,
    train.train,
    sweep.sweep,
    slurm.slurm,
    ema.ema,
    replay.replay,
    runs.runs,
    verify.verify,
    sample.sample,
    edit.edit,
    studio.studio,
    reproduce.reproduce,
    evaluate.GROUP,
    compare.compare,
    report.report,
    export.export,
    push.push,
    pull.pull,
    plot.GROUP,
    config.GROUP,
    clean.clean,
    bench.bench,
    doctor.doctor,
    version.version,
)


class FacegenGroup(TyperGroup):
    """Turns whatever a command raises into a message on stderr and an exit code."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=[name_of(one) for one in COMMANDS].index)

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
            if (told := _failed_import(error)) is not None:
                print_error(told)
                raise typer.Exit(MissingModelError.exit_code) from error
            if not isinstance(error, OSError) or error.errno not in STORAGE_ERRNOS:
                raise
            print_error(f"{error.strerror}: '{error.filename}'.")
            raise typer.Exit(StorageError.exit_code) from error


def _failed_import(error: BaseException | None) -> str | None:
    """What to say of a library that could not be imported; None for any other failure."""
    while error is not None and not _is_outside_import(error):
        error = error.__cause__
    if error is None:
        return None
    what = f"'{error.name}'" if isinstance(error, ImportError) and error.name else "A library"
    return (
        f"{what} cannot be imported: {type(error).__name__}: {error}\n"
        "What is wrong with this installation, and how to mend it: facegen doctor"
    )


def _is_outside_import(error: BaseException) -> bool:
    """Whether `error` came up in the import of something that is not facegen's."""
    if isinstance(error, ImportError) and error.name:
        return error.name.partition(".")[0] != "facegen"
    frames = traceback.extract_tb(error.__traceback__)
    executed = [frame.filename for frame in frames if frame.name == "<module>"]  # as an import does
    return bool(executed) and not executed[-1].startswith(OURS)


def _as_addressed(message: str) -> str:
    """The message with the addresses of far data in place of where their copies stand."""
    far: Any = sys.modules.get("facegen.formats.far")  # nothing is far where it was not needed
    return message if far is None else far.told(message)


app = typer.Typer(
    name="facegen",
    cls=FacegenGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    **help_texts(ABOUT),
)
for command in COMMANDS:
    add(app, command)


def main() -> None:
    """Entry point of the `facegen` command."""
    try:
        typer.main.get_command(app)(prog_name="facegen")
    except SystemExit as ended:
        leave(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
        raise
    except Exception:
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
