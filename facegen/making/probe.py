"""A short look at source and machine, so that the times of a plan are measured and not guessed.

A stage costs what doing a little of it says: preparing a few of the source's own pictures, and training on
avatars, which are there at once and cost what faces cost.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from facegen.config.recipe import Recipe
from facegen.datasets import write_some
from facegen.encoding.encode import encode, encoding_rate
from facegen.encoding.options import EncodeOptions
from facegen.formats.dataset import Dataset
from facegen.making.speed import CHECKED_EXAMPLES, CHECKS, Speed, measure_speed, trial_of
from facegen.making.ways import Asked, Recipes, Way, asked_with
from facegen.models.devices import resolve_device
from facegen.models.feature_networks import load_extractor
from facegen.models.loading import load
from facegen.models.packaged_networks import EFFICIENTNET, missing_packages
from facegen.preparation.options import PrepareOptions
from facegen.preparation.prepare import prepare
from facegen.progress import SilentProgress
from facegen.tasks.denoising import NUM_NOISE_LEVELS
from facegen.training.train import train

FEW, MANY = 256, 768  # pictures prepared: either starts all processes, so that they differ in pictures
FEW_PHOTOS, MANY_PHOTOS = 16, 48  # where each is searched for faces
DRAWN_FACES = 16
FEW_STEPS = 4
TRIAL_AVATARS = 96
HELD_OUT_SHARE = 0.1
LOOKS_PER_STEP = 3.0  # images looked at in the time that one is trained on
QUIET = SilentProgress()


@dataclass(frozen=True)
class Preparation:
    """What preparing a source will take and give, by a few of its pictures."""

    seconds: float
    num_faces: int
    asked: Asked


def probe_preparation(
    kind: str, source: Path | None, num_images: int, options: PrepareOptions, scratch: Path
) -> Preparation:
    """Prepare a few pictures, then some more: the difference is what a picture costs.

    Raises:
        DataError: none of them can be used.
    """
    counts = (FEW_PHOTOS, MANY_PHOTOS) if kind == "photos" else (FEW, MANY)
    samples = [min(count, num_images) for count in counts]
    took, kept, datasets = [], [], []
    for number, count in enumerate(samples):
        out, told = scratch / f"prepared-{number}", replace(options, limit=count)
        if kind == "avatars":
            told = replace(options, count=count)
        begun = time.monotonic()
        few = source
        if kind == "photos" and source is not None:  # it looks at every photo before it takes a few
            few, told = write_some(source, count, scratch / f"photos-{number}"), options
        summary = prepare(kind, few, out, told, QUIET)
        took.append(time.monotonic() - begun)
        kept.append(sum(summary.counts.values()))
        datasets.append(Dataset.open(out).manifest)
    (few_taken, taken), labels = samples, datasets[-1]
    each = max(took[1] - took[0], 0.0) / max(taken - few_taken, 1) or took[1] / taken
    fixed = max(took[1] - taken * each, 0.0)
    return Preparation(
        seconds=fixed + num_images * each,
        num_faces=round(num_images * kept[1] / taken),
        asked=asked_with(labels.labels, labels.class_counts),
    )


@dataclass(frozen=True)
class Trained:
    """A training as it goes here: `preset_steps` is how long its preset is, and its checks look at
    `checked_images` altogether."""

    speed: Speed
    batch_size: int
    preset_steps: int
    checked_images: float

    @property
    def images_per_second(self) -> float:
        return self.speed.steps_per_second * self.batch_size

    @property
    def checks_seconds(self) -> float:
        return self.checked_images / (LOOKS_PER_STEP * self.images_per_second)

    def steps(self, seconds: float) -> int:
        return round((seconds - self.checks_seconds) * self.speed.steps_per_second)

    def seconds(self, steps: float) -> float:
        return steps / self.speed.steps_per_second + self.checks_seconds


@dataclass(frozen=True)
class Rates:
    """Images a second: trained on by stage, encoded, drawn, and looked at by what judges."""

    trained: dict[str, Trained]
    encoded: float
    drawn: float
    judged: float


class Machine:
    """How fast this machine does what a way needs, tried on avatars in `scratch`."""

    def __init__(self, way: Way, asked: Asked, scale: str, autoencoder: str | None, scratch: Path) -> None:
        alike = Asked("nothing") if asked.by == "nothing" else Asked("attributes")  # what avatars have
        self._recipes = Recipes(way, alike, 0, scale)
        self._way, self._asked, self._given, self._scratch = way, alike, autoencoder, scratch

    def rates(self, num_faces: int, generator_seconds: float) -> Rates:
        """Train, encode and draw a little; `generator_seconds` is about how long the generator will train."""
        recipes = {"generator": self._recipes.generator(self._latents)}
        if self._given is None:
            recipes["autoencoder"] = self._recipes.autoencoder(self._avatars)
        if self._asked.by != "nothing":
            recipes["classifier"] = self._recipes.classifier(self._avatars)
        seconds = {"generator": generator_seconds}
        trained = {
            name: self._trained(recipe, num_faces, seconds.get(name, 0.0)) for name, recipe in recipes.items()
        }
        drawn, judged = self._drawn(recipes["generator"]), self._judged(recipes.get("classifier"))
        return Rates(trained, self._encoded, drawn, judged)

    @cached_property
    def _avatars(self) -> Path:
        out = self._scratch / "avatars"
        options = PrepareOptions(size=self._way.pixels, count=TRIAL_AVATARS)
        prepare("avatars", None, out, options, QUIET)
        return out

    @cached_property
    def _autoencoder(self) -> str:
        if self._given is not None:
            return self._given
        return str(self._run(self._recipes.autoencoder(self._avatars), "autoencoder"))

    def _run(self, recipe: Recipe, name: str) -> Path:
        """A run of one step."""
        run = self._scratch / name
        train(trial_of(recipe, 1), run, progress=QUIET)
        return run

    def _drawn(self, recipe: Recipe) -> float:
        """Faces drawn a second, from walks of a few steps."""
        generator = load(self._run(recipe, "generator"))
        few = generator.sampling.model_copy(update={"steps": FEW_STEPS})
        inputs, seeds = generator.conditioner.null_inputs(DRAWN_FACES), range(DRAWN_FACES)
        generator.generate(inputs, seeds, few)  # warms up
        begun = time.monotonic()
        generator.generate(inputs, seeds, few)
        share = FEW_STEPS / generator.sampling.steps
        return DRAWN_FACES * share / max(time.monotonic() - begun, 1e-6)

    def _judged(self, recipe: Recipe | None) -> float:
        """Faces a second whose features are found; infinitely many where nothing is there to do it."""
        if recipe is None and missing_packages():
            return math.inf
        name = EFFICIENTNET if recipe is None else f"classifier:{self._run(recipe, 'classifier')}"
        extractor = load_extractor(name, None, resolve_device("auto"), QUIET)
        images = Dataset.open(self._avatars).split("train").images(torch.arange(TRIAL_AVATARS // 2))
        extractor(images[:DRAWN_FACES])  # warms up
        begun = time.monotonic()
        extractor(images)
        return len(images) / max(time.monotonic() - begun, 1e-6)

    @cached_property
    def _latents(self) -> Path:
        out = self._scratch / "latents"
        encode(self._avatars, self._autoencoder, out, EncodeOptions(flips=self._way.flips), QUIET)
        return out

    @cached_property
    def _encoded(self) -> float:
        """Images of a data set encoded a second, mirror images with them."""
        return encoding_rate(self._avatars, self._autoencoder, EncodeOptions(flips=self._way.flips))

    def _trained(self, recipe: Recipe, num_faces: int, seconds: float) -> Trained:
        training = recipe.training
        steps = training.max_steps
        if steps is None:
            steps = (training.epochs or 1) * -(-num_faces // training.batch_size)
        checked = HELD_OUT_SHARE * num_faces
        if recipe.denoiser is not None:
            checked = CHECKED_EXAMPLES * NUM_NOISE_LEVELS
        speed = measure_speed(recipe, self._scratch, seconds)
        return Trained(speed, training.batch_size, steps, CHECKS * checked)
