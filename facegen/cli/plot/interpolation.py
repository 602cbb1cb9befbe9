"""`facegen plot interpolation`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facegen.cli.options import Run
from facegen.cli.plot.figure import Csv, Out, figure
from facegen.errors import UsageError
from facegen.options import Option
from facegen.plotting.options import Asked
from facegen.sampling.options import REQUEST

if TYPE_CHECKING:
    from facegen.plotting.saving import PlotSummary
    from facegen.protocols import Progress


def two_seeds(text: str) -> tuple[int, int]:
    """The numbers of "3,9".

    Raises:
        UsageError: written otherwise.
    """
    try:
        first, last = map(int, text.split(","))
    except ValueError as error:
        raise UsageError(f"--seeds takes two whole numbers such as 3,9, not '{text}'.") from error
    return first, last


@figure
def interpolation(
    run: Run,
    options: Asked,
    progress: Progress,
    first: Annotated[
        str | None, Option("A class or words to begin with.", names=("--from",), panel=REQUEST)
    ] = None,
    last: Annotated[
        str | None, Option("A class or words to end with.", names=("--to",), panel=REQUEST)
    ] = None,
    between: Annotated[
        tuple[Path, Path] | None, Option("Two photos, for a model of pictures.", panel=REQUEST)
    ] = None,
    seeds: Annotated[
        tuple[int, int] | None,
        Option("A,B: two seeds, whose noise is interpolated.", panel=REQUEST, read=two_seeds),
    ] = None,
    frames: Annotated[int, Option("Faces of a strip, both ends included.", min=2)] = 9,
    count: Annotated[int | None, Option("Seeds, a row each; left out: 3. Not with --seeds.", min=1)] = None,
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """Strips between two requests, two photos, or the noise of two seeds.

    Both ends are the faces that 'facegen sample' gives.

        facegen plot interpolation runs/celeba --from "a man" --to "a woman"
        facegen plot interpolation runs/celeba --prompt "a woman" --seeds 3,9
        facegen plot interpolation runs/vector --between me.jpg you.jpg
    """
    from facegen.plotting.interpolation import plot_interpolation

    if (first is None) != (last is None):
        raise UsageError("--from and --to go together.", hint='Such as --from "a man" --to "a woman".')
    words = None if first is None or last is None else (first, last)
    return plot_interpolation(
        run,
        out,
        words=words,
        photos=between,
        seeds=seeds,
        frames=frames,
        options=options.sampled(count=count),
        csv=csv,
        progress=progress,
    )
