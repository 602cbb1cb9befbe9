"""Which presets a source is made into a generator with, and what the generator is asked with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facegen.config.composition import compose
from facegen.config.recipe import Recipe
from facegen.types import LabelSchema

LONG_MINUTES = 75.0  # from which the better autoencoder, a quarter of an hour of one core, is worth its time
LARGE_MINUTES = 10.0  # of a GPU


@dataclass(frozen=True)
class Way:
    """Presets of the three trainings for pictures of `pixels`. Where `preset_lengths`, autoencoder and
    classifier train as long as their presets say; otherwise for their share of the time at most."""

    pixels: int
    autoencoder: str
    classifier: str
    generator: str
    preset_lengths: bool = False
    flips: bool = True


AVATARS = Way(64, "avatars-autoencoder", "avatars-classifier", "avatars", preset_lengths=True, flips=False)
QUICK = Way(64, "celeba-autoencoder", "attribute-classifier", "flow-dit")
LONG = Way(64, "flow-dit-autoencoder", "attribute-classifier", "flow-dit")
LARGE = Way(128, "flow-dit-128-autoencoder", "attribute-classifier", "flow-dit-128")


def way_for(kind: str, minutes: float, *, on_gpu: bool) -> Way:
    """How a source is made into a generator, by what it is, the time and the hardware."""
    if kind == "avatars":
        return AVATARS
    if on_gpu and minutes >= LARGE_MINUTES:
        return LARGE
    return LONG if minutes >= LONG_MINUTES else QUICK


@dataclass(frozen=True)
class Asked:
    """What the generator is asked with; `column` is that of the classes."""

    by: Literal["attributes", "classes", "nothing"]
    column: str | None = None

    @property
    def told(self) -> str:
        return f"the classes of '{self.column}'" if self.column else self.by

    @property
    def changes(self) -> tuple[str, ...]:
        """What it changes in a preset that is asked with attributes."""
        if self.by == "attributes":
            return ()
        if self.column:
            kind = ("conditioner.kind=class_label", f"conditioner.column={self.column}")
        else:
            kind = ("conditioner.kind=none",)
        told = f"Faces, asked with {self.told}, by a flow-matching transformer."
        return (*kind, "denoiser.value_maps=false", f"about={json.dumps(told)}")


def asked_with(labels: LabelSchema, class_counts: Mapping[str, Mapping[str, int]]) -> Asked:
    """Attributes where there are several; otherwise the class column that tells most; otherwise nothing.

    A column tells as much as its commonest class leaves open; one of a single class tells nothing.
    """
    if len(labels.attributes) > 1:
        return Asked("attributes")
    left_open = {
        name: 1 - max(counts.values()) / sum(counts.values())
        for name, counts in class_counts.items()
        if sum(count > 0 for count in counts.values()) > 1
    }
    if left_open:
        return Asked("classes", max(left_open, key=lambda name: left_open[name]))
    return Asked("attributes") if labels.attributes else Asked("nothing")


class Recipes:
    """The recipes of a way, for data that may be a trial's or the real ones."""

    def __init__(self, way: Way, asked: Asked, seed: int, scale: str) -> None:
        self._way, self._asked, self._seed, self._scale = way, asked, seed, scale

    def autoencoder(self, data: Path) -> Recipe:
        return self._compose(self._way.autoencoder, data)

    def classifier(self, data: Path) -> Recipe:
        if self._asked.column is None:
            return self._compose(self._way.classifier, data)
        return self._compose("class-classifier", data, f"task.class_column={json.dumps(self._asked.column)}")

    def generator(self, data: Path) -> Recipe:
        flip = f"data.flip={json.dumps(self._way.flips)}"
        return self._compose(self._way.generator, data, flip, *self._asked.changes)

    def _compose(self, preset: str, data: Path, *changes: str) -> Recipe:
        told = [f"data.path={json.dumps(str(data))}", f"training.seed={self._seed}", *changes]
        return compose(preset, overrides=told, size=self._scale)
