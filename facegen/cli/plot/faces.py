"""`facegen plot`: figures of faces that a run draws for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument

from facegen.cli.completion import run_folders
from facegen.cli.options import Run
from facegen.cli.plot.figure import Csv, Out, figure
from facegen.errors import UsageError
from facegen.options import Option
from facegen.plotting.options import Asked, AttentionOptions, Drawn, Fps, Hold, Motion, two_seeds
from facegen.sampling.options import REQUEST, Crop, SampleOptions

if TYPE_CHECKING:
    from facegen.plotting.saving import PlotSummary
    from facegen.protocols import Progress


@figure
def samples(
    subject: Annotated[
        Path, Argument(help="A run, a checkpoint, or a folder of sampled PNGs.", autocompletion=run_folders)
    ],
    options: Drawn,
    progress: Progress,
    prompt: Annotated[tuple[str, ...], Option("In words; each makes a row.", REQUEST)] = (),
    attributes: Annotated[
        tuple[str, ...],
        Option("NAME=1,NAME=0; each makes a row.", REQUEST, completes="attributes"),
    ] = (),
    class_name: Annotated[
        tuple[str, ...], Option("A class; each makes a row.", REQUEST, names=("--class",))
    ] = (),
    like: Annotated[tuple[Path, ...], Option("A photo to vary; each makes a row.", REQUEST)] = (),
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


@figure
def denoising(
    run: Run,
    options: Asked,
    progress: Progress,
    frames: Annotated[
        int | None, Option("Columns: steps to show, noise and face included; left out: 8, or all.", min=2)
    ] = None,
    count: Annotated[int, Option("Seeds, two rows each.", min=1)] = 2,
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """From noise to faces: x_t and the x0 predicted from it.

    Two rows a seed, a column a step; the last is the face that 'facegen sample' gives.

        facegen plot denoising runs/celeba --prompt "a smiling woman"
        facegen plot denoising runs/utkface --class Asian --frames 10 --count 1
    """
    from facegen.plotting.denoising import plot_denoising

    asked = options.sampled(count=count)
    return plot_denoising(run, out, options=asked, frames=frames, csv=csv, progress=progress)


@figure
def animation(
    run: Run,
    options: Asked,
    motion: Motion,
    progress: Progress,
    count: Annotated[int, Option("Faces; several stand in a grid.", min=1)] = 1,
    out: Annotated[
        Path | None,
        Option(
            "File to write: .gif, .webp, .png (APNG) or .mp4.", shown_default="plots/SUBJECT-animation.gif"
        ),
    ] = None,
    csv: Csv = False,
) -> PlotSummary:
    """An animation of faces appearing out of noise, or of one class turning into another.

    The last frame is the face 'facegen sample' gives: pixel for pixel in .webp and .png, with 256 colours in
    .gif, about so in .mp4 (which needs the extra 'video').

        facegen plot animation runs/celeba --prompt "a smiling woman" --out face.gif
        facegen plot animation runs/utkface --class Asian --count 9 --fps 12
        facegen plot animation runs/utkface --walk all --frames 60 --out walk.mp4
    """
    from facegen.plotting.animation import plot_animation

    asked = options.sampled(count=count)
    return plot_animation(run, out, options=asked, motion=motion, csv=csv, progress=progress)


@figure
def blend(
    run: Run,
    blend: Annotated[str, Option("NAME:WEIGHT,NAME:WEIGHT of classes or wishes.", REQUEST)],
    options: Drawn,
    progress: Progress,
    count: Annotated[int, Option("Seeds, a row each.", min=1)] = 4,
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """Strips from each part of a blend to the mix, from the same noise.

    What the model makes of the parts is interpolated, not the pictures.

        facegen plot blend runs/utkface --blend "Asian:0.5,White:0.5"
        facegen plot blend runs/utkface --blend "Asian:1,Black:1,White:1" --count 2
    """
    from facegen.plotting.blend import plot_blend

    return plot_blend(run, blend, out, options=options.sampled(count=count), csv=csv, progress=progress)


@figure
def interpolation(
    run: Run,
    options: Asked,
    progress: Progress,
    first: Annotated[
        str | None, Option("A class or words to begin with.", REQUEST, names=("--from",))
    ] = None,
    last: Annotated[str | None, Option("A class or words to end with.", REQUEST, names=("--to",))] = None,
    between: Annotated[
        tuple[Path, Path] | None, Option("Two photos, for a model of pictures.", REQUEST)
    ] = None,
    seeds: Annotated[
        tuple[int, int] | None,
        Option("A,B: two seeds, whose noise is interpolated.", REQUEST, read=two_seeds),
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


@figure
def timelapse(
    run: Annotated[Path, Argument(help="A run made by 'facegen train'.", autocompletion=run_folders)],
    options: Asked,
    progress: Progress,
    source: Annotated[
        Literal["auto", "previews", "checkpoints"], Option("auto: previews where nothing is asked for.")
    ] = "auto",
    frames: Annotated[int | None, Option("Steps at most; left out: 8, of an animation all.", min=2)] = None,
    fps: Fps = 2.0,
    hold: Hold = 2.0,
    count: Annotated[int, Option("Faces.", min=1)] = 6,
    out: Annotated[
        Path | None,
        Option(
            "File to write: .png, .svg, .pdf; .gif, .webp or .mp4 moves.",
            shown_default="plots/SUBJECT-timelapse.png",
        ),
    ] = None,
    csv: Csv = False,
) -> PlotSummary:
    """The same faces through training, as a figure or an animation.

    From the previews the run drew, or, with a request, from its kept checkpoints.

        facegen plot timelapse runs/celeba
        facegen plot timelapse runs/celeba --count 16 --out growing.gif
        facegen plot timelapse runs/celeba --prompt "an old man" --count 3
    """
    from facegen.plotting.timelapse import plot_timelapse

    asked, moving = options.sampled(count=count), {"frames": frames, "fps": fps, "hold": hold}
    return plot_timelapse(run, out, options=asked, source=source, **moving, csv=csv, progress=progress)


@figure
def attention(
    run: Run,
    attention: AttentionOptions,
    options: Asked,
    progress: Progress,
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """Where a model looks while it draws a face, laid over that face.

    Words or labels where it attends to them, otherwise places: what a cell of the picture looks at.

        facegen plot attention runs/text --prompt "a smiling woman"
        facegen plot attention runs/text --prompt "a smiling woman" --word smiling
        facegen plot attention runs/celeba --at 0.38,0.5 --at 0.5,0.75 --layers 4
    """
    from facegen.plotting.attention import plot_attention

    asked = options.sampled()
    return plot_attention(run, out, options=asked, attention=attention, csv=csv, progress=progress)
