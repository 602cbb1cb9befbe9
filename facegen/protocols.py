"""The extension points: what a data set, network, sampler, task or metric has to offer.

A *kind* is a module `facegen/<family>/<kind>.py` (or any object named `package.module:Name`) that
offers `Config`, a pydantic model, and `build(config, ...)`, which returns an implementation of the
protocol below. Signatures of `build` per family:

    denoisers      build(config, sample: SampleSpec, conditioning: ConditioningSpec) -> Network
    conditioners   build(config, labels: LabelSchema, sample: SampleSpec) -> Conditioner
    autoencoders   build(config) -> Autoencoder                     (random weights, to be trained)
    samplers       build(config) -> MakeSampler                    (of facegen.diffusion.walk)
    datasets       build(config) -> DatasetAdapter
    finders        build(config) -> FaceFinder
    tasks          build(config, images: TrainingImages), with TRAINS_ON = "images"
    metrics        build(config, **what the evaluation wires in)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from torch import Tensor, nn

from facegen.draws import Draws
from facegen.types import (
    Conditioning,
    ConditioningSpec,
    CropBox,
    DatasetRecord,
    DatasetReject,
    FoundFace,
    LabelSchema,
    LatentMoments,
    PromptReading,
)

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image


class ProgressTask(Protocol):
    """One progress bar."""

    def advance(self, count: int = 1, **fields: str) -> None:
        """Move on by `count`; `fields` such as loss="0.12" are shown beside the bar."""
        ...


class Progress(Protocol):
    """Where the library talks to a person. Results never go through here."""

    def stage(self, title: str, total: int | None = None) -> AbstractContextManager[ProgressTask]: ...

    def say(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...


class DatasetAdapter(Protocol):
    """Reads one layout of face data. Deterministic: the same source gives the same records in order.

    `crops` are the cuts that suit it, the first being what "auto" means; None keeps a square image as it
    is. `records` fills these while it runs: `read_as` (what was taken for what, with the evidence), `repairs`
    (what was changed or dropped to make sense of it; an error under --strict), `notes` (what else is to be
    told), `rejects` (images left out) and `files` (location -> what it is, of every file that is no image of
    the data set). A class that has this as its base says only what is otherwise.

    A kind for which reading is work is told before how many `workers` it has, the folder `work` where it may
    keep what is done, and the folder `earlier` of the data set that may stand there finished. `details` has
    further columns of account.csv by id, and `beside` further files of the data set.
    """

    crops: Mapping[str, CropBox | None] = {"center": (1.0, 0.5, 0.5), "none": None}
    default_splits: tuple[float, float, float] = (0.8, 0.1, 0.1)  # train, validation, test
    required_splits: tuple[str, ...] = ()  # if one of them is empty, the source's own partition is set aside
    loads_on_cpu: bool = False  # `record.load` computes (and pickles), so processes serve it, not threads
    medium: str = "photo"  # or "cartoon", for captions
    licence: str | None = None
    labels: LabelSchema  # valid once `records` has been started
    read_as: list[str]
    repairs: list[str]
    notes: list[str]
    rejects: list[DatasetReject]
    files: dict[str, str]
    details: dict[str, dict[str, float]]
    workers: int = 1
    work: Path | None = None
    earlier: Path | None = None
    config: Any

    def __init__(self, config: Any) -> None:
        self.config = config
        self.labels, self.rejects, self.files, self.details = LabelSchema(), [], {}, {}
        self.read_as, self.repairs, self.notes = [], [], []

    def records(self, source: Path | None, progress: Progress) -> Iterator[DatasetRecord]: ...

    def beside(self, taken: Mapping[str, str]) -> Mapping[str, bytes]:
        """Name -> content of files to stand beside the data set; `taken` is the split of each image by id."""
        return {}


class FaceFinder(Protocol):
    """Finds faces in photos. Pickles, since it works in other processes.

    `version` changes with whatever changes what is found.
    """

    version: str

    def check(self) -> None:
        """Make sure that it can work.

        Raises:
            MissingModelError: what it needs is not installed.
        """
        ...

    def find(self, image: Image, smallest_pixels: float) -> list[FoundFace]:
        """The faces of an RGB photo, tilted by 30 degrees at most, of `smallest_pixels` and more.

        `formats.faces.face_size` says what a face's size is.
        """
        ...


@runtime_checkable
class Autoencoder(Protocol):
    """Images to latents and back. An `nn.Module`."""

    def latent_shape(self, image_size: int) -> tuple[int, ...]:
        """Shape *S of one latent of a square image: (C, h, w) a map, (D,) a vector.

        Raises:
            UsageError: images of that size do not fit.
        """
        ...

    def encode(self, images: Tensor) -> LatentMoments:
        """(B, 3, H, W) in [-1, 1] -> moments (B, *S)."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Unscaled latents (B, *S) -> images (B, 3, H, W), about [-1, 1], not clamped."""
        ...


class Conditioner(Protocol):
    """Labels or words to `Conditioning`. An `nn.Module`; learned embeddings are trained with the denoiser.

    `inputs` turns a frame of labels into one compact tensor (N, ...) once; `forward` turns a batch of
    its rows into a Conditioning, with gradients. `asking`, which a kind also offers as `ASKING`, says how
    people ask it; without one it is told by its looks.
    """

    spec: ConditioningSpec

    def inputs(self, frame: pd.DataFrame) -> Tensor: ...

    def null_inputs(self, count: int) -> Tensor: ...

    def drop(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Per-sample condition dropout for classifier-free guidance, as configured."""
        ...

    def read(self, prompt: str) -> PromptReading: ...

    def inputs_from(self, reading: PromptReading) -> Tensor:
        """One row (1, ...) from what was asked for; labels not mentioned are unknown."""
        ...

    def __call__(self, inputs: Tensor) -> Conditioning: ...


@runtime_checkable
class SampleConditioner(Protocol):
    """A `Conditioner` that is told the clean sample itself, such as an encoder trained jointly."""

    def inputs_of(self, samples: Tensor) -> Tensor:
        """Clean samples (B, *S) in the denoiser's scaled space -> condition inputs (B, ...)."""
        ...


@runtime_checkable
class ImageConditioner(Protocol):
    """A `Conditioner` on what a frozen encoder sees in the image."""

    def inputs_of_images(self, images: Tensor) -> Tensor:
        """uint8 images (B, 3, H, W) -> condition inputs (B, ...)."""
        ...


@runtime_checkable
class TableConditioner(Protocol):
    """A `Conditioner` that looks its condition up in what `facegen encode` kept of captions or images."""

    def attach(self, texts: Any, features: Any) -> None:
        """Take over `TextEmbeddings` and `ImageFeatures` (of `formats.latents`); either may be None."""
        ...


@runtime_checkable
class TokenConditioner(Protocol):
    """A `Conditioner` that can say what its tokens stand for."""

    def named_tokens(self, reading: PromptReading) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Words or labels and the numbers of their tokens, in order; none where it gives no tokens."""
        ...


@runtime_checkable
class Network(Protocol):
    """A denoiser's network: x_t (B, *S), timestep (B,) in [0, num_timesteps], Conditioning -> (B, *S).

    Drawing on a CPU calls it from several threads at once: a pass keeps nothing in the module.
    """

    def __call__(self, x_t: Tensor, timestep: Tensor, conditioning: Conditioning, /) -> Tensor: ...


Batch = Mapping[str, Tensor]
"""Tensors with one leading batch dimension; the trainer may cut it into micro-batches."""


class TrainingTask(Protocol):
    """What is trained and how it is scored; the trainer owns everything else.

    All randomness of a step is drawn in `batch`, for every sample by itself, so that `losses` is a pure
    function, and neither micro-batches nor the number of processes change anything. Where examples are mixed,
    `group_size` says how many neighbours have to stay together (1 where it is not given).
    """

    num_examples: int

    def build_module(self) -> nn.Module:
        """The module whose parameters are trained; its state_dict is the checkpoint's model."""
        ...

    def batch(self, indices: Tensor, draws: Draws) -> Batch:
        """Load examples (B,) int64 and draw every random number they need, on the device of `draws`."""
        ...

    def losses(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Scalar float32 means over the batch; the one named "loss" is minimised."""
        ...

    def validate(self, module: nn.Module, device: Any) -> dict[str, Any]:
        """Score on fixed held-out data and noise. "loss" is what "best" means (lower is better);
        "verdict" is a sentence for the person watching; the rest is logged."""
        ...


@runtime_checkable
class PhasedTask(TrainingTask, Protocol):
    """A `TrainingTask` whose losses change in the course of a run.

    The trainer puts `done` (B,) float32 into every batch: the share of the run that lies behind it, in
    [0, 1). Losses stay pure functions of module and batch.
    """

    def phase_at(self, done: float) -> str:
        """Name of the phase at `done`, for the progress bar."""
        ...


@runtime_checkable
class TaskByImage(Protocol):
    """A `TrainingTask` whose held-out loss is a mean over images: two runs then compare image by image."""

    def losses_by_image(self, module: nn.Module, device: Any) -> Tensor:
        """Float32 (N,), whose mean is the "loss" of `validate`, of the same images and noise."""
        ...


@runtime_checkable
class AutoencoderTask(Protocol):
    """A `TrainingTask` that trains an autoencoder, whose reconstructions previews show."""

    def autoencoder_in(self, module: nn.Module) -> nn.Module:
        """The `Autoencoder` within what `build_module` gave."""
        ...


class Metric(Protocol):
    """A score over images."""

    def update(self, images: Tensor, records: pd.DataFrame) -> None:
        """uint8 (B, 3, H, W) and the labels of those images."""
        ...

    def compute(self) -> dict[str, Any]: ...
