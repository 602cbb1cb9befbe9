"""What can be asked of a model and how it draws; the annotations by themselves are other rooms' as well."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from facegen.errors import UsageError
from facegen.options import HARDWARE, Device, Option, names

DEFAULT_FRAMES = 9
DEFAULT_STRENGTHS = (0.6, 0.8, 1.0)
REQUEST, SAMPLING = "What to ask for", "Sampling (the run's own where left out)"
CHANGING, JUDGED = "What may change", "What it is judged by"

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


def noise_interval(text: str) -> tuple[float, float]:
    """The two numbers of "0.1:0.8", the lower first.

    Raises:
        UsageError: written otherwise, or not within 0 and 1.
    """
    low, separator, high = text.partition(":")
    try:
        found = float(low), float(high)
    except ValueError:
        found = (0.0, 0.0)
    if not separator or not 0 <= found[0] < found[1] <= 1:
        raise UsageError(
            f"--guidance-interval takes LOW:HIGH within 0 and 1, not '{text}'.",
            hint="Of the noise level, 0 clean and 1 pure noise; all of it: --guidance-interval 0:1",
        )
    return found


Weights = Annotated[Literal["ema", "model"], Option("ema: averaged; model: as last trained.", SAMPLING)]


def strengths(text: str) -> tuple[float, ...]:
    """The numbers of "0.6,0.8,1", ascending and each once.

    Raises:
        UsageError: none, or one that is not above 0 and at most 1.
    """
    found = set[float]()
    for part in names(text):
        try:
            number = float(part)
        except ValueError:
            number = 0.0
        if not 0 < number <= 1:
            raise UsageError(
                f"--strength '{part}' is not a number above 0 and at most 1.",
                hint="0.3 goes a little way into noise and changes little, 1 goes all of it: --strength 1",
            )
        found.add(number)
    if not found:
        raise UsageError("--strength names no number.", hint="Such as --strength 0.6,0.8,1")
    return tuple(sorted(found))


Strengths = Annotated[
    tuple[float, ...],
    Option(
        "How far into noise, above 0 and up to 1; several as 0.6,1.",
        CHANGING,
        read=strengths,
        shown_default="0.6,0.8,1",
    ),
]
Pull = Annotated[
    float,
    Option("How hard to pull from what the photo shows to what is asked; 1 is off.", SAMPLING, min=0),
]


@dataclass(frozen=True)
class Drawing:
    """How a run draws; None takes the recipe's own setting. Image i has seed `seed + i`."""

    seed: Seed = 0
    guidance: Annotated[float | None, Option("Guidance scale; 1 is off.", SAMPLING, min=0)] = None
    guidance_interval: Annotated[
        tuple[float, float] | None,
        Option(
            "Noise levels that guidance acts at, 0 clean to 1 noise.",
            SAMPLING,
            metavar="LOW:HIGH",
            read=noise_interval,
        ),
    ] = None
    steps: Annotated[int | None, Option("Sampler steps.", SAMPLING, min=1)] = None
    sampler: Sampler = None

    @property
    def drawing(self) -> dict[str, Any]:
        """The options by name that say how is drawn, of those that another class adds to them."""
        return {field.name: getattr(self, field.name) for field in fields(Drawing)}

    @property
    def is_told(self) -> bool:
        """Whether anything but the seed is asked for."""
        return any(value is not None for name, value in self.drawing.items() if name != "seed")


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
    out: Annotated[Path | None, Option("New folder; left out: samples/0001, samples/0002, ...")] = None
    batch_size: Annotated[int | None, Option("Images drawn at once.", HARDWARE, min=1)] = None
    device: Device = "auto"
    weights: Weights = "ema"


@dataclass(frozen=True)
class EditOptions:
    """What a photo is to show, what it shows, and what may change of it.

    What `from_prompt`, `from_attributes` and `from_class` leave open the `classifier` reads in the photo, if
    one is given; it also says what came true, and what else changed. Without `out` as of `SampleOptions`.
    """

    prompt: Prompt = None
    attributes: Attributes = None
    class_name: ClassName = None
    from_prompt: Annotated[str | None, Option("What the photo shows, in words.", REQUEST)] = None
    from_attributes: Annotated[
        str | None, Option("The same as NAME=1,NAME=0.", REQUEST, completes="attributes")
    ] = None
    from_class: Annotated[str | None, Option("The class that the photo shows.", REQUEST)] = None
    strength: Strengths = DEFAULT_STRENGTHS
    mask: Annotated[Path | None, Option("Picture that is white where there may be change.", CHANGING)] = None
    region: Annotated[
        float | None,
        Option(
            "Share of the photo that may change: where the request shows most.", CHANGING, min=0.01, max=1
        ),
    ] = None
    crop: Crop = "center"
    finder: Annotated[
        str,
        Option("Must find a face in a photo of another size, where it is installed; none: no matter."),
    ] = "mtcnn"
    guidance: Pull = 3.0
    steps: Annotated[int | None, Option("Steps of a whole walk.", SAMPLING, min=1)] = None
    classifier: Annotated[
        Path | None,
        Option("Reads what the photo shows, says what came true: a run.", JUDGED, completes="runs"),
    ] = None
    distance: Annotated[
        str | None,
        Option(
            "Perceptual distance: lpips or classifier:RUN; left out: the classifier's.",
            JUDGED,
        ),
    ] = None
    features: Annotated[
        str | None,
        Option(
            "Network in whose features faces are compared, too.",
            JUDGED,
            completes="feature networks",
        ),
    ] = None
    out: Annotated[Path | None, Option("New folder; left out: samples/0001, samples/0002, ...")] = None
    device: Device = "auto"
    weights: Weights = "ema"


@dataclass(frozen=True)
class ReproduceOptions:
    """Where the model is, if not where the image says or near by; where photos are, if they were moved.

    `device` None is the one the image was made on, if there is one here, otherwise the fastest.
    """

    run: Annotated[
        Path | None,
        Option(
            "The model; left out: the run the image names, or any near by with its weights.", completes="runs"
        ),
    ] = None
    photos: Annotated[
        tuple[Path, ...],
        Option(
            "A photo of --like or --between that was moved; may be given several times.", names=("--photo",)
        ),
    ] = ()
    out: Annotated[Path | None, Option("PNG to write; left out: compare only.")] = None
    device: Annotated[str | None, Option("Left out: the kind the image was made on.", HARDWARE)] = None
