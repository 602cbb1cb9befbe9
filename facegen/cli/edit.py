"""`facegen edit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.command import command
from facegen.cli.results import print_facts, print_table
from facegen.options import Option
from facegen.sampling.options import EditOptions

if TYPE_CHECKING:
    from facegen.protocols import Progress
    from facegen.sampling.edit import EditSummary

EditRun = Annotated[
    Path | None,
    Option(
        "A run of 'facegen train', or a checkpoint; left out: the model in the box.",
        names=("--run",),
        completes="runs",
    ),
]


def _print(summary: EditSummary) -> None:
    from facegen.sampling.edit_changes import told

    rows = [
        ("autoencoder alone", summary.reconstructed),
        *((one.strength, one.change) for one in summary.pictures),
    ]
    columns = {
        "strength": [name for name, _ in rows],
        **{key: [told(change)[key] for _, change in rows] for key in told(summary.reconstructed)},
        "grey levels": [change.pixels for _, change in rows],
        summary.distance_name or "": [change.distance for _, change in rows],
        f"1 - cosine, {summary.features_name}": [change.features for _, change in rows],
    }
    shown = {name: cells for name, cells in columns.items() if any(cell is not None for cell in cells)}
    print_table("How it differs from the photo", [*shown], list(zip(*shown.values(), strict=True)))
    print_facts(
        {
            "Pictures": f"{len(summary.pictures)} in {summary.strip.parent}",
            "Strip": summary.strip,
            "Not understood": summary.reading.left_over or None,
        }
    )


@command(_print)
def edit(
    photo: Annotated[Path, Argument(help="A photo, cut as the model's pictures are.")],
    run: EditRun = None,
    *,
    options: EditOptions,
    progress: Progress,
) -> EditSummary:
    """Edit a photo: draw it again with something else asked.

    The photo is walked into noise and back; what is asked as it is shown stays as it is. Makes a picture for
    each strength and a strip of them, and with --classifier says what came true and what else changed.

        facegen edit me.png --run runs/celeba --attributes "Smiling=1"
        facegen edit me.png --run runs/celeba --prompt "glasses, no smile"
        facegen edit me.png --run runs/celeba --prompt "blond hair" --strength 0.8
        facegen edit me.png --run runs/celeba --prompt "glasses" --mask eyes.png
        facegen edit me.png --run run --prompt "a smile" --classifier judge
    """
    from facegen.formats.box import opened_box
    from facegen.sampling.edit import edit

    return edit(photo, run or opened_box(), options, progress)
