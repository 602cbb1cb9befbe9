"""What the pictures of a run share: a generator, how it samples, and what it is asked for.

Letters: B images, C columns, K parts of a mix, N images of a walk, S steps of the sampler.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from facegen.config.recipe import SamplingConfig
from facegen.errors import UsageError
from facegen.models.generator import FaceGenerator
from facegen.models.loading import load
from facegen.models.noise import Seed
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.sampling.drawing import Artist
from facegen.sampling.plan import Plan, plan_of
from facegen.sampling.records import drawing_settings
from facegen.sampling.request import read_terms
from facegen.sampling.sample import SampleOptions, check_sampling
from facegen.types import Blend


@dataclass(frozen=True)
class State:
    """A batch after `step` of S steps: `x_t` and the `x0` predicted from it, both (B, *S), scaled.

    At step 0 `x_t` is the noise; after the last step both are the sample. `noise_level` is t/T in [0, 1].
    """

    step: int
    noise_level: float
    x_t: Tensor
    x0: Tensor


@dataclass(frozen=True)
class Requested:
    """A loaded generator, of `run`, and one way of asking it."""

    run: Path
    generator: FaceGenerator
    settings: SamplingConfig
    options: SampleOptions
    progress: Progress

    @staticmethod
    def open(run: Path, options: SampleOptions | None, progress: Progress | None) -> Requested:
        """Load `run`, a run or checkpoint, and settle how it samples.

        Raises:
            UsageError: options out of range, or that contradict each other.
            MissingModelError, StorageError, DataError: the run cannot be loaded.
        """
        options = options or SampleOptions()
        check_sampling(options)
        generator = load(run, options.device, options.weights)
        settings = drawing_settings(generator, options)
        return Requested(Path(run), generator, settings, options, progress or SilentProgress())

    @property
    def title(self) -> str:
        """Such as "celeba, step 12,000: a smiling woman"."""
        step = "" if self.generator.step is None else f", step {self.generator.step:,}"
        words = words_of(self.options)
        return f"{run_of(self.run).name}{step}" + (f": {words}" if words else "")

    def plan(self, default_count: int) -> Plan:
        """What the options ask for, `default_count` images where they name no number.

        Raises:
            UsageError: a request that this model cannot be asked.
            DataError: a photo that cannot be read.
        """
        return plan_of(self.generator, self.counted(default_count), self.progress)

    def counted(self, default_count: int) -> SampleOptions:
        """The options with a number of images."""
        return replace(self.options, count=self.options.count or default_count)

    def seeds(self, default_count: int) -> range:
        """The seeds asked for."""
        return range(self.options.seed, self.options.seed + (self.options.count or default_count))

    def draw(self, inputs: Tensor | Blend, seeds: Sequence[Seed], title: str = "Sampling") -> np.ndarray:
        """Finished faces, uint8 (B, H, W, 3)."""
        artist = Artist(self.generator, self.settings)
        return pictures(artist.draw_all(inputs, seeds, title, self.progress))

    def walk(self, terms: Sequence[str], weights: Tensor, seeds: Sequence[Seed]) -> np.ndarray:
        """Faces (seeds, N, H, W, 3) of each seed for every row of `weights` (N, K) over K classes, attributes
        or prompts. Where all weight lies on one of them, the face is exactly that of the term alone.

        Raises:
            UsageError: a model without blends, or a term it does not know.
        """
        generator = self.generator
        readings = read_terms(generator, terms, self.progress)
        parts = [generator.inputs_for(reading) for reading in readings]
        blend = Blend.of_rows(parts, weights.repeat(len(seeds), 1))
        noises = [seed for seed in seeds for _ in weights]
        images = self.draw(blend, noises, "Walking")
        images = images.reshape(len(seeds), len(weights), *images.shape[1:])
        if generator.conditioning(parts[0]).token_mask is None:
            return images
        # Mixed tokens count where any part has one; a prompt alone must not see the other's.
        for column, row in enumerate(weights.tolist()):
            if 1.0 in row:
                part = parts[row.index(1.0)]
                images[:, column] = self.draw(part.expand(len(seeds), *part.shape[1:]), seeds)
        return images

    def states(self, inputs: Tensor | Blend, seeds: Sequence[Seed], steps: set[int]) -> Iterator[State]:
        """The states after the given numbers of `steps`, from 0 (noise) to S (the sample), in order."""
        generator, last = self.generator, self.generator.objective.path.last_timestep
        x_t, level = generator.noise(seeds), 1.0
        with self.progress.stage("Denoising", total=self.settings.steps) as bar:
            for step in generator.trajectory(inputs, seeds, self.settings):
                if step.index in steps:
                    yield State(step.index, level, x_t, step.x0)
                x_t, level = step.x_t, step.timestep / last
                bar.advance()
                if step.is_last and step.num_steps in steps:
                    yield State(step.num_steps, 0.0, step.x0, step.x0)

    def decoded(self, latents: Tensor) -> np.ndarray:
        """What scaled latents or noise (B, *S) look like, uint8 (B, H, W, 3)."""
        return pictures(self.generator.decode(latents))


def pictures(images: Tensor) -> np.ndarray:
    """uint8 (..., 3, H, W) -> (..., H, W, 3), as figures take them."""
    return images.movedim(-3, -1).cpu().numpy()


def evenly(first: int, last: int, count: int) -> list[int]:
    """`count` whole numbers from `first` to `last`, both included, as even as may be."""
    return [round(value) for value in np.linspace(first, last, count).tolist()]


def check_frames(frames: int) -> None:
    """Refuse fewer than the two that have a first and a last.

    Raises:
        UsageError: fewer.
    """
    if frames < 2:
        raise UsageError(f"--frames must be at least 2, a first and a last, not {frames}.")


def words_of(options: SampleOptions) -> str:
    """What was asked for, as a title; empty for nothing."""
    photos = ", ".join(Path(path).name for path in options.like)
    listed = (options.attributes or options.blend or "").replace(",", ", ")
    return options.prompt or options.class_name or listed or photos


def run_of(path: Path) -> Path:
    """The folder whose name a file gets: the run, also where one of its checkpoints is given."""
    path = Path(path).resolve()
    return path.parents[1] if path.parent.name == "checkpoints" else path
