"""`facegen push`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.command import command
from facegen.cli.completion import run_folders
from facegen.cli.results import print_facts, print_table
from facegen.hub.options import PushOptions

if TYPE_CHECKING:
    from facegen.hub.push import PushSummary
    from facegen.protocols import Progress


def _print(summary: PushSummary) -> None:
    from facegen.formats.disk import size_text
    from facegen.hub.repository import WORDS

    kind = WORDS[summary.repo_type]
    if summary.dry_run:
        title = f"Would be sent to the {kind} '{summary.repository}'"
        print_table(title, ("file", "bytes"), [*summary.files.items(), ("in all", summary.size_bytes)])
    stays = "\n".join(f"{name}: {why}" for name, why in summary.left_out.items()) or None
    told = f"{len(summary.files):,} files, {size_text(summary.size_bytes)}"
    print_facts(
        {
            "Pushed": None if summary.dry_run else told,
            "Address": summary.address,
            "Seen by": "you or your organisation" if summary.private else "everybody",
            "Stays here": stays,
            "Notes": "\n".join(summary.notes) or None,
            "Card to read": summary.written and summary.written / "README.md",
            "Get it": None if summary.dry_run else f"facegen pull {summary.repository} OUT",
        }
    )


@command(_print)
def push(
    subject: Annotated[
        Path,
        Argument(
            metavar="RUN|DATASET",
            help="A run, a checkpoint, 'box', or a prepared data set.",
            autocompletion=run_folders,
        ),
    ],
    repository: Annotated[str, Argument(metavar="ORG/NAME", help="Made on the hub if it is not there.")],
    *,
    options: PushOptions,
    progress: Progress,
) -> PushSummary:
    """Send a run or a data set to the Hugging Face hub, with a card that tells what it is.

    Of a run goes what sampling and judging it elsewhere takes. Nothing shows before all is there. What would
    tell of tokens or of this machine is refused. The token is that of 'hf auth login', or HF_TOKEN.

        facegen push box me/avatars --dry-run
        facegen push runs/celeba me/celeba-faces --private
        facegen push data/mine me/my-faces --licence cc-by-4.0
    """
    from facegen.hub.push import push

    return push(subject, repository, options, progress)
