"""`facegen plot`: figures of what is there: recipes and logs of runs, data sets, latents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.completion import recipes, run_folders
from facegen.cli.plot.figure import Csv, Out, figure
from facegen.options import Device, Option
from facegen.plotting.options import LatentMapOptions

if TYPE_CHECKING:
    from facegen.plotting.saving import PlotSummary
    from facegen.protocols import Progress

RecipeOf = Annotated[
    str,
    Argument(
        help="A run, a checkpoint, a pipeline of diffusers, or a preset's name.", autocompletion=recipes
    ),
]


@figure
def schedule(subject: RecipeOf, out: Out = None, csv: Csv = False) -> PlotSummary:
    """Noise over time: alphas, SNR, and where training looks.

    Takes a run, a checkpoint, or the name of a preset.

        facegen plot schedule runs/celeba
        facegen plot schedule celeba-attributes --out schedule.svg --csv
    """
    from facegen.plotting.schedule import plot_schedule

    return plot_schedule(subject, out, csv=csv)


@figure
def architecture(
    subject: RecipeOf,
    depth: Annotated[int, Option("1: stages; 2: their blocks; 3: the parts of the blocks.")] = 2,
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """The network on one page: shapes, parameters, where conditions enter.

    Takes a run, a checkpoint, or the name of a preset. Drawn from the module itself; a PNG has 600 DPI.

        facegen plot architecture runs/celeba
        facegen plot architecture attribute-ldm --out network.pdf --csv
        facegen plot architecture text-ldm --depth 1
    """
    from facegen.plotting.architecture.architecture import plot_architecture

    return plot_architecture(subject, out, depth=depth, csv=csv)


@figure
def curves(
    runs: Annotated[list[Path], Argument(help="Runs made by 'facegen train'.", autocompletion=run_folders)],
    metric: Annotated[
        tuple[str, ...], Option("Draw this number; repeat for more. Left out: all of learning.")
    ] = (),
    smooth: Annotated[
        float, Option("Smooth training over so many steps, or a share of the run below 1; 0: not.")
    ] = 0.01,
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """Losses and scores over training, of one run or of several.

    A panel for each number that was logged; held-out losses also by noise level.

        facegen plot curves runs/celeba
        facegen plot curves runs/a runs/b --metric loss --smooth 500 --csv
    """
    from facegen.plotting.curves import plot_curves

    return plot_curves(runs, out, metrics=metric, smooth=smooth, csv=csv)


@figure
def ema(
    run: Annotated[
        Path, Argument(help="A run trained with 'ema.widths' in its recipe.", autocompletion=run_folders)
    ],
    progress: Progress,
    width: Annotated[
        tuple[float, ...], Option("A width; repeat for more. Left out: from 0.01 to 0.25.")
    ] = (),
    step: Annotated[int | None, Option("After which step; left out: the last snapshot's.", min=1)] = None,
    data: Annotated[Path | None, Option("The run's data, if they have moved.")] = None,
    device: Device = "auto",
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """Held-out loss over the width of averaged weights.

    Every width is made of the run's snapshots and validated as in training; 'facegen ema' makes one of them a
    checkpoint.

        facegen plot ema runs/celeba
        facegen plot ema runs/celeba --width 0.08 --width 0.1 --width 0.12
    """
    from facegen.plotting.ema import plot_ema

    moment = {"step": step, "data": data, "device": device}
    return plot_ema(run, out, widths=width, **moment, csv=csv, progress=progress)


@figure
def attributes(
    dataset: Annotated[Path, Argument(help="A data set made by 'facegen prepare', or latents.")],
    split: Annotated[str, Option("Which images: train, validation or test.")] = "train",
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """How the labels of a data set are balanced, and which go together.

    Shares of every attribute and class, phi between all attributes, histograms of numbers such as age.

        facegen plot attributes data/celeba
        facegen plot attributes latents --split validation --out labels.pdf --csv
    """
    from facegen.plotting.attributes import plot_attributes

    return plot_attributes(dataset, out, split=split, csv=csv)


@figure
def reconstructions(
    autoencoder: Annotated[
        str,
        Argument(
            help="An autoencoder's run or folder, a hub name, or 'identity'.", autocompletion=run_folders
        ),
    ],
    dataset: Annotated[Path, Argument(help="A data set made by 'facegen prepare'.")],
    split: Annotated[str, Option("train, validation or test.")] = "validation",
    count: Annotated[int, Option("Pictures.", min=1)] = 8,
    seed: Annotated[int, Option("Which pictures are drawn.", min=0)] = 0,
    amplify: Annotated[float, Option("How many times larger the difference is shown.")] = 4.0,
    device: Device = "auto",
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """Pictures, what an autoencoder makes of them, and the difference.

    PSNR stands under each; 'facegen eval reconstruction' has scores of a whole data set.

        facegen plot reconstructions runs/autoencoder data/celeba
        facegen plot reconstructions runs/autoencoder data/celeba --amplify 8
    """
    from facegen.plotting.reconstructions import plot_reconstructions

    drawn = {"split": split, "count": count, "seed": seed, "amplify": amplify, "device": device}
    return plot_reconstructions(autoencoder, dataset, out, **drawn, csv=csv)


@figure
def latents(
    source: Annotated[Path, Argument(help="Latents, or a run trained on them.", autocompletion=run_folders)],
    options: LatentMapOptions,
    progress: Progress,
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """A map of latents, coloured by a label, with faces on it.

    Where faces lie in the space a generator learns, by PCA, t-SNE or UMAP (extra 'umap').

        facegen plot latents latents --method tsne --color-by Smiling
        facegen plot latents runs/celeba --thumbnails 100 --out map.pdf
    """
    from facegen.plotting.latents import plot_latents

    return plot_latents(source, out, options, progress, csv=csv)
