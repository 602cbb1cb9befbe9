"""`facegen pull`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.command import command
from facegen.cli.results import print_facts
from facegen.hub.options import PullOptions

if TYPE_CHECKING:
    from facegen.hub.pull import PullSummary
    from facegen.protocols import Progress

START = PullOptions()


def _print(summary: PullSummary) -> None:
    from facegen.formats.disk import size_text
    from facegen.hub.repository import WORDS

    print_facts(
        {
            "Fetched": f"{WORDS[summary.repo_type]} '{summary.repository}', {summary.files:,} files, "
            f"{size_text(summary.size_bytes)}",
            "Commit": summary.commit,
            "It is in": summary.out,
            "Card": summary.out / "README.md",
        }
    )


@command(_print, opens_models=False)
def pull(
    repository: Annotated[
        str, Argument(metavar="ORG/NAME", help="A run or a data set; datasets/ORG/NAME is always the latter.")
    ],
    out: Annotated[Path, Argument(help="New folder.")],
    *,
    options: PullOptions = START,
    progress: Progress,
) -> PullSummary:
    """Fetch a run or a data set that 'facegen push' sent; every command then takes the folder.

    Each file is compared with its checksum, and the folder stands there whole or not at all. Stopped
    anywhere, the same command goes on with the files that are missing.

        facegen pull me/avatars avatars
        facegen pull me/my-faces data/mine
        facegen pull me/avatars avatars-then --revision v1
    """
    from facegen.hub.pull import pull

    return pull(repository, out, options, progress)
