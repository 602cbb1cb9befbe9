"""`facegen sample`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facegen.cli.command import command
from facegen.cli.options import Run
from facegen.cli.results import print_facts
from facegen.sampling.options import SampleOptions

if TYPE_CHECKING:
    from facegen.protocols import Progress
    from facegen.sampling.sample import SampleSummary


def _print(summary: SampleSummary) -> None:
    reading = summary.reading
    understood = "; ".join(f"'{words}' as {meaning}" for words, meaning in reading.understood)
    print_facts(
        {
            "Images": f"{len(summary.paths)} in {summary.grid.parent}",
            "Grid": summary.grid,
            "Blend": summary.strip,
            "Understood": understood or None,
            "Not understood": ", ".join(f"'{words}'" for words in reading.not_understood) or None,
        }
    )


@command(_print)
def sample(run: Run, options: SampleOptions, progress: Progress) -> SampleSummary:
    """Draw faces for words, attributes or a class.

    Makes PNGs that carry their settings, and a grid. Image i has seed SEED + i and is the same at any batch
    size. Stopped, the same command goes on where it stood.

        facegen sample runs/celeba --prompt "a smiling woman with blond hair"
        facegen sample runs/celeba --attributes "Smiling=1,Eyeglasses=0" --count 64
        facegen sample runs/utkface --class female --guidance 2 --sampler ddim
        facegen sample runs/celeba --prompt "an old man" --negative "a hat" --seed 7
        facegen sample runs/utkface --blend "Asian:0.5,White:0.5"
        facegen sample runs/vector --like me.jpg --count 8
        facegen sample runs/vector --between me.jpg you.jpg --frames 9
    """
    from facegen.sampling.sample import sample

    return sample(run, options, progress)
