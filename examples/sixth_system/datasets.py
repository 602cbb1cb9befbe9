"""A data set of one's own, for `facegen prepare sixth_system.datasets:Moods`: faces with a mood."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw
from pydantic import Field

from facegen.config.kinds import KindConfig
from facegen.protocols import DatasetAdapter, Progress
from facegen.types import CropBox, DatasetRecord, LabelSchema

SIDE, FINER = 128, 4  # the drawing's own coordinates, and dots drawn for each, for smooth lines


class Moods(DatasetAdapter):
    """Drawn faces with a `mood` from -1 (corners of the mouth down) to 1 (up), `Male` ones with a beard.

    A data set that reads files does the same with `source`, and `load` returns the bytes of a file.
    """

    class Config(KindConfig):
        count: int = Field(2000, ge=1)
        seed: int = 0
        size: int = 64

    crops: Mapping[str, CropBox | None] = {"none": None}
    loads_on_cpu = True
    medium = "cartoon"

    @staticmethod
    def build(config: Config) -> Moods:
        return Moods(config)

    def records(self, source: Path | None, progress: Progress) -> Iterator[DatasetRecord]:
        self.labels = LabelSchema(attributes=("Male",))
        chance = random.Random(self.config.seed)
        for number in range(self.config.count):
            mood, beard, skin = chance.uniform(-1, 1), chance.random() < 0.5, chance.randrange(4)
            shift = chance.uniform(-2, 2), chance.uniform(-2, 2)
            yield DatasetRecord(
                id=f"face-{number:05d}",
                load=partial(draw_face, mood, beard, skin, shift, self.config.size),
                location=f"face {number} of seed {self.config.seed}",
                attributes={"Male": beard},
                extra={"mood": round(mood, 4)},
            )


def draw_face(mood: float, beard: bool, skin: int, shift: tuple[float, float], size: int) -> bytes:
    """A PNG of `size` x `size` pixels, the face beside the middle by `shift`."""
    picture = Image.new("RGB", (SIDE * FINER, SIDE * FINER), (214, 226, 238))
    pen = ImageDraw.Draw(picture)

    def at(*places: float) -> list[float]:
        return [(place + shift[index % 2]) * FINER for index, place in enumerate(places)]

    colour = [(255, 219, 172), (241, 194, 125), (198, 134, 66), (141, 85, 36)][skin]
    pen.ellipse(at(14, 8, 114, 122), fill=colour)
    if beard:
        pen.chord(at(18, 30, 110, 121), 20, 160, fill=(70, 50, 40))
        pen.ellipse(at(30, 60, 98, 112), fill=colour)
    for x in (44, 84):
        pen.ellipse(at(x - 7, 44, x + 7, 58), fill="white")
        pen.ellipse(at(x - 3, 48, x + 3, 54), fill="black")
    height = 26 * mood
    curve = [at(40 + step, 84 + height / 2 - height * ((step - 24) / 24) ** 2) for step in range(49)]
    pen.line([tuple(point) for point in curve], fill=(160, 40, 50), width=9 * FINER, joint="curve")
    stream = io.BytesIO()
    picture.resize((size, size), Image.Resampling.LANCZOS).save(stream, "PNG")
    return stream.getvalue()
