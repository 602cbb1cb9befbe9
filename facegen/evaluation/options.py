"""How evaluations are asked for; what several of them have stands first."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from facegen.options import HARDWARE, BatchSize, Device, Option, names
from facegen.sampling.options import DEFAULT_STRENGTHS, SAMPLING, Drawing, Pull, Seed, Strengths, strengths

NETWORKS = (
    "inception, inception-clean, clip, clip-vit-l-14-336, vgg16, dinov2, efficientnet-lite0, "
    "random-inception, dlib-face"
)
REQUESTS = "Data set or latents the requests come from; left out: what the run was trained on."
Base = Literal["labels", "open"]
NetworkWeights = Annotated[
    Path | None, Option("File with the feature network's weights; left out: downloaded once.")
]
RequestSplit = Annotated[str, Option("Split the requests come from.")]
DrawnImages = Annotated[int, Option("Images to draw.", min=1)]


@dataclass(frozen=True)
class Selection(Drawing):
    """Which images, and how a run draws them.

    `num_samples` None means `default_samples` of a run, or all there are. A run is asked for `prompt`, or
    for the label rows of `split` of `data` (None: what it was trained on).
    """

    num_samples: Annotated[
        int | None, Option("Images to judge; left out: {default_samples:,} drawn, or all there are.", min=1)
    ] = None
    default_samples: int = 1000
    split: Annotated[str, Option("Split the labels, captions or images come from.")] = "validation"
    data: Path | None = None
    prompt: str | None = None


@dataclass(frozen=True)
class LabelledSelection(Selection):
    """A selection whose labels may come from elsewhere."""

    data: Annotated[
        Path | None, Option("Data set or latents the labels or captions come from; left out: the run's own.")
    ] = None


@dataclass(frozen=True)
class CaptionedSelection(LabelledSelection):
    """A selection with captions, or one for all."""

    prompt: Annotated[
        str | None, Option("One prompt for all images; left out: the captions of held-out records.")
    ] = None


@dataclass(frozen=True)
class ComparisonOptions(Drawing):
    """How images are compared with real ones; `seed` is also of the choice among those of a folder."""

    num_samples: Annotated[
        int | None, Option("Images to compare; left out: 1,000 drawn, or all of a folder.", min=1)
    ] = None
    split: Annotated[str, Option("Split of the reference.")] = "train"
    batch_size: BatchSize = None
    device: Device = "auto"


@dataclass(frozen=True)
class OwnFeaturesOptions(ComparisonOptions):
    """The same for a metric that has its own features; `weights` are those of their network."""

    weights: NetworkWeights = None


@dataclass(frozen=True)
class DistributionOptions(OwnFeaturesOptions):
    """Which features scores of closeness are of, and of which images."""

    features: Annotated[
        str,
        Option(
            f"{NETWORKS}, or classifier:RUN, a classifier of yours (offline).", completes="feature networks"
        ),
    ] = "inception"
    requests: Annotated[
        str | None, Option("Split whose labels a run draws for; left out: the reference's.")
    ] = None


@dataclass(frozen=True)
class DiversityOptions(ComparisonOptions):
    """Which features tell people apart; `out` None puts the picture beside a run's report, or nowhere."""

    features: Annotated[
        str,
        Option("dlib-face, classifier:RUN, or auto: dlib-face, if installed, otherwise the --classifier's."),
    ] = "auto"
    classifier: Annotated[
        Path | None,
        Option(
            "Classifier run whose features stand in where no face encoder is installed, or no people are.",
            completes="runs",
        ),
    ] = None
    out: Annotated[Path | None, Option("Picture of the distances; left out: in RUN/evaluations.")] = None


@dataclass(frozen=True)
class AttributeOptions(Drawing):
    """How to count what came true; `attributes` is such as "Male=1,Smiling=1"."""

    num_samples: DrawnImages = 500
    data: Annotated[Path | None, Option(REQUESTS, names=("--data", "--reference"))] = None
    split: RequestSplit = "validation"
    attributes: Annotated[str | None, Option("Ask every image for this instead.", completes="attributes")] = (
        None
    )
    min_asked: Annotated[int, Option("Times asked for before an attribute can be called weak.", min=1)] = 10
    grid_images: Annotated[int, Option("Images in the grid of hits and misses.", min=1)] = 24
    device: Device = "auto"


@dataclass(frozen=True)
class ControlOptions(Drawing):
    """What is toggled and how faces are drawn.

    `attributes` (or classes) None are all that the generator can be asked for and the classifier can tell.
    """

    attributes: Annotated[
        tuple[str, ...] | None,
        Option("Attributes or classes to toggle, as A,B; left out: all.", read=names),
    ] = None
    num_samples: Annotated[int, Option("Pairs of faces an attribute.", min=1)] = 64
    base: Annotated[Base, Option("Rest of a request: labels of held-out people, or open.")] = "labels"
    data: Annotated[Path | None, Option(REQUESTS, names=("--data", "--reference"))] = None
    split: RequestSplit = "validation"
    grid_pairs: Annotated[int, Option("Pairs of each attribute in the picture.", min=0)] = 4
    device: Device = "auto"


@dataclass(frozen=True)
class EditEvaluationOptions:
    """Which faces are edited how; `data` None is what the run was trained on, if its photos are there.

    Every attribute is switched in `num_samples` faces, as many with it as without where there are so many.
    """

    attributes: Annotated[
        tuple[str, ...],
        Option(
            "Attributes to switch, as A,B.", read=names, shown_default="Smiling,Eyeglasses,Male,Blond_Hair"
        ),
    ] = ("Smiling", "Eyeglasses", "Male", "Blond_Hair")
    num_samples: Annotated[int, Option("Faces in which each attribute is switched.", min=2)] = 64
    strength: Strengths = DEFAULT_STRENGTHS
    sdedit: Annotated[
        tuple[float, ...],
        Option(
            "Strengths of SDEdit, which each edit is compared with where as much comes true.",
            read=strengths,
            shown_default="0.4,0.6,0.8,1",
        ),
    ] = (0.4, 0.6, 0.8, 1.0)
    data: Annotated[Path | None, Option(REQUESTS, names=("--data", "--reference"))] = None
    split: Annotated[str, Option("Split the faces come from.")] = "validation"
    distance: Annotated[
        str | None, Option("Perceptual distance: lpips or classifier:RUN; left out: the classifier's.")
    ] = None
    features: Annotated[
        str | None,
        Option("Network in whose features faces are compared, too.", completes="feature networks"),
    ] = None
    grid_faces: Annotated[int, Option("Faces of each attribute in the picture.", min=0)] = 3
    seed: Annotated[int, Option("Seed of the choice of faces, and of SDEdit's noise.", min=0)] = 0
    guidance: Pull = 3.0
    steps: Annotated[int | None, Option("Steps of a whole walk.", SAMPLING, min=1)] = None
    batch_size: Annotated[int, Option("Faces at once.", HARDWARE, min=1)] = 32
    device: Device = "auto"


@dataclass(frozen=True)
class MetricOptions(Drawing):
    """How a metric from outside judges; with a data set in `reference` it may compare."""

    num_samples: DrawnImages = 500
    reference: Annotated[Path | None, Option(REQUESTS)] = None
    split: RequestSplit = "validation"
    device: Device = "auto"


@dataclass(frozen=True)
class ClipScoreOptions:
    """Which images, and how many go through CLIP at once."""

    selection: Selection = CaptionedSelection(default_samples=500)
    batch_size: Annotated[int, Option("Images at once.", HARDWARE, min=1)] = 32
    device: Device = "auto"


@dataclass(frozen=True)
class MemorizationOptions:
    """Which images in which feature space; `out` None puts the picture beside a run's report, or nowhere."""

    features: Annotated[
        str,
        Option(f"pixels (needs no network), {NETWORKS}, or classifier:RUN.", completes="feature networks"),
    ] = "pixels"
    weights: NetworkWeights = None
    people: Annotated[
        str,
        Option(
            "Features that tell people apart; none: do not look; auto: dlib-face, if installed.",
            completes="feature networks",
        ),
    ] = "auto"
    nominal_rate: Annotated[
        float, Option("Share of unseen real faces that may be flagged.", min=0.0001, max=0.49)
    ] = 0.01
    selection: Selection = Selection()
    shown_pairs: Annotated[int, Option("Nearest pairs in the picture.", min=1)] = 16
    out: Annotated[Path | None, Option("Picture of the pairs; left out: in RUN/evaluations.")] = None
    batch_size: BatchSize = None
    device: Device = "auto"


@dataclass(frozen=True)
class SubgroupOptions:
    """Which images; `features` None are those of the classifier that judges the attributes.

    The images of the groups `apart_from`, such as "Bald=yes", are set aside in every row's `apart`, beside
    those of groups found to be worse off, so that two models can be compared on the same images.
    """

    features: Annotated[
        str | None,
        Option(f"{NETWORKS}, classifier:RUN; left out: the classifier's.", completes="feature networks"),
    ] = None
    weights: NetworkWeights = None
    selection: Selection = LabelledSelection(default_samples=2000)
    split: Annotated[str, Option("Split of the reference.", names=("--reference-split",))] = "train"
    small_below: Annotated[int, Option("Images below which a group is greyed out.", min=16)] = 50
    apart_from: Annotated[
        tuple[str, ...], Option("Groups whose images are set aside, as A=yes,B=no.", read=names)
    ] = ()
    batch_size: BatchSize = None
    device: Device = "auto"


@dataclass(frozen=True)
class LossOptions:
    """Where the held-out images are."""

    data: Annotated[Path | None, Option("What the run was trained on, if it is elsewhere now.")] = None
    device: Device = "auto"


@dataclass(frozen=True)
class ClassifierOptions:
    """`splits` are judged together."""

    splits: Annotated[
        tuple[str, ...], Option("Splits to judge on together, as A,B.", names=("--split",), read=names)
    ] = ("test",)
    min_positives: Annotated[int, Option("Labels that fewer faces have stay out of the means.", min=1)] = 50
    device: Device = "auto"


@dataclass(frozen=True)
class ReconstructionOptions:
    """How an autoencoder is judged; without `features` there is no Fréchet distance.

    `out` is the report's file where the autoencoder is not a run.
    """

    distance: Annotated[
        str | None, Option("Perceptual distance: lpips, or classifier:RUN, a classifier of yours.")
    ] = None
    lpips_weights: Annotated[Path | None, Option("File with LPIPS's weights; left out: downloaded once.")] = (
        None
    )
    vgg16_weights: Annotated[
        Path | None, Option("File with VGG-16's weights, for lpips; left out: downloaded once.")
    ] = None
    features: Annotated[
        str | None,
        Option(
            f"Features of a Fréchet distance: {NETWORKS}, or classifier:RUN.", completes="feature networks"
        ),
    ] = None
    weights: NetworkWeights = None
    split: Annotated[str, Option("Split whose images are reconstructed.")] = "validation"
    num_samples: Annotated[int | None, Option("Images; left out: all of the split.", min=1)] = None
    worst_images: Annotated[int, Option("Images in the picture of the worst.", min=1)] = 16
    out: Annotated[
        Path | None, Option("Report file, the picture beside it; left out: in RUN/evaluations.")
    ] = None
    seed: Seed = 0
    batch_size: Annotated[int, Option("Images at once.", HARDWARE, min=1)] = 64
    device: Device = "auto"
