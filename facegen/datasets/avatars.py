"""Rendered faces whose every label is exactly true. Needs no source and no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from facegen.config.kinds import KindConfig
from facegen.datasets import _avatar_plain, _avatar_rich
from facegen.datasets._avatar_style import LICENCE, AvatarDrawing, render
from facegen.errors import UsageError
from facegen.protocols import DatasetAdapter, Progress
from facegen.types import CropBox, DatasetRecord, LabelSchema

Variety = Literal["plain", "rich"]
_VARIETIES = {"plain": _avatar_plain, "rich": _avatar_rich}


class Config(KindConfig, frozen=True):
    """`count` avatars of `size` pixels; avatar i depends on (variety, seed, i) alone.

    `plain`: seventeen labels that can be told at 64 pixels. `rich`: fifty-nine, eyes, eyebrows, mouths, hats,
    clothes and their colours among them, that can be told at 128.
    """

    kind: Literal["avatars"] = "avatars"
    count: int = Field(default=10_000, ge=1)
    seed: int = Field(default=0, ge=0)
    size: int = Field(default=64, ge=8)
    variety: Variety = "plain"


class Avatars(DatasetAdapter):
    """Drawn faces; see `_avatar_plain` and `_avatar_rich` for what is drawn."""

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
        self.labels = labels_of(self.config.variety)
        self.notes.append(f"The drawings are {LICENCE}.")
        variety, seed, size = self.config.variety, self.config.seed, self.config.size
        for index in range(self.config.count):
            yield DatasetRecord(
                id=f"avatar-{index:06d}",
                load=partial(_rendered, variety, seed, index, size),
                location=f"avatar {index} of seed {seed}",
                attributes=dict(_drawing(variety, seed, index).attributes),
            )


def labels_of(variety: Variety) -> LabelSchema:
    """The labels that avatars of this variety have."""
    return LabelSchema(attributes=_VARIETIES[variety].ATTRIBUTES)


def _drawing(variety: Variety, seed: int, index: int) -> AvatarDrawing:
    return _VARIETIES[variety].draw(seed, index)


def _rendered(variety: Variety, seed: int, index: int, size: int) -> bytes:
    """The PNG bytes of one avatar."""
    drawing = _drawing(variety, seed, index)
    return render(drawing.options, size, drawing.view)


build = Avatars
