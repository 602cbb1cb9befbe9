"""`facegen plot samples`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.plot.figure import Csv, Out, figure
from facegen.options import Option
from facegen.plotting.options import Drawn
from facegen.sampling.options import REQUEST, Crop, SampleOptions

if TYPE_CHECKING:
    from facegen.plotting.saving import PlotSummary
    from facegen.protocols import Progress


@figure
def samples(
    subject: Annotated[Path, Argument(help="A run, a checkpoint, or a folder of sampled PNGs.")],
    options: Drawn,
    progress: Progress,
    prompt: Annotated[tuple[str, ...], Option("In words; each makes a row.", panel=REQUEST)] = (),
    attributes: Annotated[
        tuple[str, ...],
        Option("NAME=1,NAME=0; each makes a row.", completes="attributes", panel=REQUEST),
    ] = (),
    class_name: Annotated[
        tuple[str, ...], Option("A class; each makes a row.", names=("--class",), panel=REQUEST)
    ] = (),
    like: Annotated[tuple[Path, ...], Option("A photo to vary; each makes a row.", panel=REQUEST)] = (),
    crop: Crop = "center",
    data: Annotated[
        Path | None, Option("Data or latents whose held-out records ask; left out: the run's own.")
    ] = None,
    count: Annotated[int | None, Option("Faces in a row; left out: 8.", min=1)] = None,
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """A labelled grid of faces: a row for each request, the same seeds in all.

    Without requests: a row a class, or the labels of held-out records. A folder of PNGs that 'facegen sample'
    made is shown as it is.

        facegen plot samples runs/celeba --prompt "a woman" --prompt "a man"
        facegen plot samples runs/utkface --count 6 --out classes.pdf
        facegen plot samples samples/0001
    """
    from facegen.plotting.samples import plot_samples

    requests = [
        *(SampleOptions(prompt=words) for words in prompt),
        *(SampleOptions(attributes=text) for text in attributes),
        *(SampleOptions(class_name=name) for name in class_name),
        *(SampleOptions(like=(photo,)) for photo in like),
    ]
    asked = options.sampled(crop=crop, count=count)
    return plot_samples(subject, out, options=asked, requests=requests, data=data, csv=csv, progress=progress)
