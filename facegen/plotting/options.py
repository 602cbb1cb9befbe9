"""How figures are asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from facegen.errors import UsageError
from facegen.options import Device, Option, terms
from facegen.sampling.options import (
    REQUEST,
    Attributes,
    ClassName,
    Crop,
    Drawing,
    Prompt,
    SampleOptions,
)

DRAWN = "What to draw"  # panel of the help
Easing = Literal["linear", "ease-in-out"]
Method = Literal["pca", "tsne", "umap"]
Fps = Annotated[float, Option("Frames a second: 0.1 to 60, of GIF to 50.")]
Hold = Annotated[float, Option("Seconds that the last frame stands longer.")]


@dataclass(frozen=True)
class Drawn(Drawing):
    """How the pictures of a figure are drawn."""

    device: Device = "auto"

    def sampled(self, **others: Any) -> SampleOptions:
        """The options with others that `facegen sample` has."""
        return SampleOptions(**{**vars(self), **others})


@dataclass(frozen=True)
class Asked(Drawn):
    """What all pictures of a figure are asked with."""

    prompt: Prompt = None
    attributes: Attributes = None
    class_name: ClassName = None
    like: Annotated[
        tuple[Path, ...],
        Option(
            "A photo to vary, for a model of pictures.", REQUEST, read=lambda photo: (photo,), asked_as=Path
        ),
    ] = ()
    crop: Crop = "center"


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


def read_places(texts: list[str]) -> tuple[tuple[float, float], ...]:
    """Of each "0.5,0.75" its two numbers.

    Raises:
        UsageError: written otherwise.
    """
    places = []
    for text in texts:
        try:
            x, y = map(float, text.split(","))
        except ValueError:
            raise UsageError(f"--at takes X,Y such as 0.5,0.75, not '{text}'.") from None
        places.append((x, y))
    return tuple(places)


@dataclass(frozen=True)
class AttentionOptions:
    """What to draw: attention of cells to each other ("self") or to words ("cross").

    `at` are shares of the picture's width and height. Without `words`, words are the columns, and time is
    averaged.
    """

    kind: Annotated[
        Literal["self", "cross"] | None,
        Option("self: of cells to each other; cross: to words or labels; left out: to words if any.", DRAWN),
    ] = None
    layers: Annotated[str, Option("How many, evenly spaced, or names with commas.", DRAWN)] = "3"
    frames: Annotated[int, Option("Steps to record, from noise to face.", DRAWN, min=2)] = 6
    at: Annotated[
        tuple[tuple[float, float], ...],
        Option(
            "A place that looks, X,Y as shares of the picture; may be given several times.",
            DRAWN,
            metavar="X,Y",
            read=read_places,
            asked_as=list[str],
        ),
    ] = ()
    words: Annotated[
        tuple[str, ...],
        Option("A word or label to follow over time; may be given several times.", DRAWN, names=("--word",)),
    ] = ()


@dataclass(frozen=True)
class Motion:
    """How an animation moves.

    ("all",) walks over every class, at one noise each. Frames follow at `fps` a second, spread by `easing`.
    """

    walk: Annotated[
        tuple[str, ...],
        Option(
            "Finished faces turning from one class or wish into the next: NAME,NAME or 'all' classes.",
            REQUEST,
            read=terms,
        ),
    ] = ()
    what: Annotated[Literal["x_t", "x0"], Option("x_t: out of noise; x0: as predicted.")] = "x_t"
    frames: Annotated[int | None, Option("Frames; left out: one a step, of a walk 24.", min=2)] = None
    fps: Fps = 10.0
    easing: Annotated[Easing, Option("Spread of the frames; ease-in-out is slow at both ends.")] = "linear"
    hold: Hold = 1.0
    scale: Annotated[int, Option("Show each pixel as SCALE x SCALE.", min=1)] = 1


@dataclass(frozen=True)
class LatentMapOptions:
    """How latents become a map; with `thumbnails` None those are left out where there is no autoencoder."""

    method: Annotated[Method, Option("How many dimensions become two.")] = "pca"
    color_by: Annotated[
        str | None, Option("Attribute, class column or number.", shown_default="the most balanced attribute")
    ] = None
    thumbnails: Annotated[
        int | None, Option("Show at most this many faces, decoded; 0: none.", min=0, shown_default="40")
    ] = None
    count: Annotated[int, Option("Draw this many latents, at random.", min=3)] = 5000
    split: Annotated[str, Option("Of which images: train, validation or test.")] = "train"
    seed: Annotated[int, Option("Of the choice of latents, and of the method.", min=0)] = 0
    perplexity: Annotated[
        float | None, Option("Of t-SNE: about how many neighbours count.", shown_default="30")
    ] = None
