"""`facegen reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.command import command
from facegen.cli.results import print_facts
from facegen.sampling.options import ReproduceOptions

if TYPE_CHECKING:
    from facegen.protocols import Progress
    from facegen.sampling.reproduce import ReproduceSummary


def _print(summary: ReproduceSummary) -> None:
    closeness = summary.closeness
    result = "identical: every pixel is the same"
    if not closeness.identical:
        result = (
            f"differs: by {closeness.max_difference} of 255 grey levels at most, "
            f"{closeness.mean_difference:.3g} on average; PSNR {closeness.psnr:.1f} dB"
        )
    weights = "as the image says" if summary.same_weights else "not the image's"
    print_facts(
        {
            "Image": f"{summary.image}" + ("" if summary.shows == "image" else f" (a {summary.shows})"),
            "Model": f"{summary.checkpoint} (sha256 {summary.model_sha256[:12]}..., {weights})",
            "Result": result,
            "Why": "\n".join(summary.reasons) or None,
            "Written": summary.out,
        }
    )


@command(_print)
def reproduce(
    image: Annotated[Path, Argument(help="A PNG made by facegen.")],
    options: ReproduceOptions,
    progress: Progress,
) -> ReproduceSummary:
    """Make an image again from the settings it carries.

    Finds the model by its hash, and says how close it came: the same pixels, or how they differ. Takes the
    images and grids of 'facegen sample' and the studio.

        facegen reproduce samples/0001/seed-00000003.png
        facegen reproduce face.png --run runs/celeba --out again.png
        facegen reproduce like-me.png --photo moved/me.jpg --json
    """
    from facegen.sampling.reproduce import reproduce

    return reproduce(image, options, progress)
