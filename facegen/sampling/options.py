"""What can be asked of a model and how it draws; the annotations by themselves are other rooms' as well."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from facegen.errors import UsageError
from facegen.options import HARDWARE, Device, Option

DEFAULT_FRAMES = 9
REQUEST, SAMPLING = "What to ask for", "Sampling (the run's own where left out)"

Prompt = Annotated[str | None, Option("In words, e.g. 'a smiling woman, no glasses'.", REQUEST)]
Attributes = Annotated[
    str | None, Option("NAME=1 asks for, NAME=0 against; comma-separated.", REQUEST, completes="attributes")
]
ClassName = Annotated[str | None, Option("A class of the data set.", REQUEST, names=("--class",))]
Crop = Annotated[
    str, Option("How photos are cut: center, face (aligned CelebA), none, or SHARE,X,Y.", REQUEST)
]
Seed = Annotated[int, Option("Seed of the first image.", min=0)]
Sampler = Annotated[
    str | None,
    Option("ddpm, ddim, dpmpp_2m, dpmpp_2m_sde, unipc, heun or euler.", SAMPLING, completes="samplers"),
]
Weights = Annotated[Literal["ema", "model"], Option("ema: averaged; model: as last trained.", SAMPLING)]


@dataclass(frozen=True)
class Drawing:
    """How a run draws; None takes the recipe's own setting. Image i has seed `seed + i`."""

    seed: Seed = 0
    guidance: Annotated[float | None, Option("Guidance scale; 1 is off.", SAMPLING, min=0)] = None
    steps: Annotated[int | None, Option("Sampler steps.", SAMPLING, min=1)] = None


@dataclass(frozen=True)
class SampleRequest:
    """What to draw, as it was asked.

    `count` is of images, of variations of each photo in `like`, or of walks `between` two.
    """

    prompt: Prompt = None
    attributes: Attributes = None
    class_name: ClassName = None
    blend: Annotated[str | None, Option("Mix: NAME:WEIGHT,NAME:WEIGHT of classes or wishes.", REQUEST)] = None
    like: Annotated[tuple[Path, ...], Option("A photo to vary; may be given several times.", REQUEST)] = ()
    between: Annotated[tuple[Path, Path] | None, Option("Two photos to walk between.", REQUEST)] = None
    frames: Annotated[int | None, Option("Pictures of a walk; left out: 9.", REQUEST, min=2)] = None
    crop: Crop = "center"
    seed: Seed = 0
    count: Annotated[
        int | None, Option("Images; left out: 16, 8 of each photo, or 4 walks between two.", min=1)
    ] = None

    @property
    def num_frames(self) -> int:
        """Frames of each walk."""
        return DEFAULT_FRAMES if self.frames is None else self.frames

    def check(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            UsageError: says what excludes what.
        """
        given = {"--prompt": self.prompt, "--attributes": self.attributes, "--class": self.class_name}
        words = [name for name, value in given.items() if value is not None]
        others = {"--blend": self.blend, "--like": self.like, "--between": self.between}
        ways = [name for name, value in others.items() if value]
        if len(ways) > 1 or (ways and words):
            raise UsageError(f"{' and '.join([*ways, *words])} exclude each other; ask in one way.")
        if self.frames is not None and self.between is None:
            raise UsageError("--frames counts the pictures of --between A B, which is not given.")
        if self.num_frames < 2:
            raise UsageError(f"--frames must be at least 2, not {self.frames}.")


@dataclass(frozen=True)
class SampleOptions(SampleRequest, Drawing):
    """What to ask for and how; without `out`, the first free `samples/0001`, `samples/0002`, ... is used."""

    negative: Annotated[str | None, Option("What guidance steers away from, in words.", REQUEST)] = None
    sampler: Sampler = None
    out: Annotated[Path | None, Option("New folder; left out: samples/0001, samples/0002, ...")] = None
    batch_size: Annotated[int | None, Option("Images drawn at once.", HARDWARE, min=1)] = None
    device: Device = "auto"
    weights: Weights = "ema"


@dataclass(frozen=True)
class ReproduceOptions:
    """Where the model is, if not where the image says or near by; where photos are, if they were moved.

    `device` None is the one the image was made on, if there is one here, otherwise the fastest.
    """

    run: Annotated[
        Path | None, Option("The model; left out: the run the image names, or any near by with its weights.")
    ] = None
    photos: Annotated[
        tuple[Path, ...],
        Option(
            "A photo of --like or --between that was moved; may be given several times.", names=("--photo",)
        ),
    ] = ()
    out: Annotated[Path | None, Option("PNG to write; left out: compare only.")] = None
    device: Annotated[str | None, Option("Left out: the kind the image was made on.", HARDWARE)] = None
