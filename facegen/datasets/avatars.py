"""Rendered faces whose every label is exactly true. Needs no source and no network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from facegen.config.kinds import KindConfig
from facegen.datasets._avatar_style import ATTRIBUTES, LICENCE, RenderAvatar, draw
from facegen.errors import UsageError
from facegen.protocols import DatasetAdapter, Progress
from facegen.types import DatasetRecord, DatasetReject, LabelSchema


class Config(KindConfig):
    """`count` avatars of `size` pixels; avatar i depends on (seed, i) alone."""

    kind: Literal["avatars"] = "avatars"
    count: int = Field(10_000, ge=1)
    seed: int = Field(0, ge=0)
    size: int = Field(64, ge=8)


class Avatars(DatasetAdapter):
    """Drawn faces; see `_avatar_style` for what is drawn."""

    default_splits = (0.9, 0.05, 0.05)
    loads_on_cpu = True
    medium = "cartoon"
    licence = LICENCE

    def __init__(self, config: Config) -> None:
        self.config = config
        self.crops = {"none": None}
        self.labels = LabelSchema(attributes=ATTRIBUTES)
        self.notes = [f"The drawings are {LICENCE}."]
        self.rejects: list[DatasetReject] = []

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
        for index in range(self.config.count):
            yield DatasetRecord(
                id=f"avatar-{index:06d}",
                load=RenderAvatar(self.config.seed, index, self.config.size),
                location=f"avatar {index} of seed {self.config.seed}",
                attributes=dict(draw(self.config.seed, index).attributes),
            )


def build(config: Config) -> Avatars:
    return Avatars(config)
