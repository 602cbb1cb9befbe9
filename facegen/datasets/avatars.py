"""Rendered faces whose every label is exactly true. Needs no source and no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from facegen.config.kinds import KindConfig
from facegen.datasets._avatar_style import ATTRIBUTES, LICENCE, draw, render_avatar
from facegen.errors import UsageError
from facegen.protocols import DatasetAdapter, Progress
from facegen.types import CropBox, DatasetRecord, LabelSchema


class Config(KindConfig, frozen=True):
    """`count` avatars of `size` pixels; avatar i depends on (seed, i) alone."""

    kind: Literal["avatars"] = "avatars"
    count: int = Field(default=10_000, ge=1)
    seed: int = Field(default=0, ge=0)
    size: int = Field(default=64, ge=8)


class Avatars(DatasetAdapter):
    """Drawn faces; see `_avatar_style` for what is drawn."""

    default_splits = (0.9, 0.05, 0.05)
    loads_on_cpu = True
    medium = "cartoon"
    licence = LICENCE
    crops: Mapping[str, CropBox | None] = {"none": None}
    config: Config

    def records(self, source: Path | None, progress: Progress) -> Iterator[DatasetRecord]:
        """Describe every avatar; `load` draws it.

        Raises:
            UsageError: a source was given.
        """
        if source is not None:
            raise UsageError(
                f"Avatars are drawn, not read: leave '{source}' out.",
                hint="Example: facegen prepare avatars --out data/avatars --count 10000",
            )
        self.labels = LabelSchema(attributes=ATTRIBUTES)
        self.notes.append(f"The drawings are {LICENCE}.")
        seed, size = self.config.seed, self.config.size
        for index in range(self.config.count):
            yield DatasetRecord(
                id=f"avatar-{index:06d}",
                load=partial(render_avatar, seed, index, size),
                location=f"avatar {index} of seed {seed}",
                attributes=dict(draw(seed, index).attributes),
            )


build = Avatars
