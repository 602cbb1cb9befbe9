"""The demo's two grids: faces for whole prompts, and one word changed at unchanged noise."""

from __future__ import annotations

from pathlib import Path

import torch

from facegen.demo.options import DemoFolders
from facegen.formats.box import opened_box
from facegen.formats.files import atomic_write
from facegen.formats.images import image_grid, pil_to_png
from facegen.models.generator import FaceGenerator
from facegen.models.loading import load

SHOWCASE_PROMPTS = (
    "smiling, blond hair, glasses",
    "a bald person with a beard",
    "black curly hair, not smiling",
    "red hair and sunglasses",
    "a smiling person wearing a hat",
    "long brown hair, no glasses",
    "gray hair, a mustache, mouth open",
    "bald, dark skin, glasses, smiling",
)
"""What the demo's final grid asks for."""

BASE = "short brown hair, no beard, no glasses, not smiling"
SWITCHES = {  # column title -> prompt; the noise stays the same along a row
    BASE: BASE,
    "glasses": "short brown hair, no beard, glasses, not smiling",
    "sunglasses": "short brown hair, no beard, sunglasses, not smiling",
    "smiling": "short brown hair, no beard, no glasses, smiling",
    "a beard": "short brown hair, a beard, no glasses, not smiling",
    "a hat": "a hat, no beard, no glasses, not smiling",
    "long hair": "long brown hair, no beard, no glasses, not smiling",
}


def draw_pictures(folders: DemoFolders, seed: int, *, rows: int, switch_rows: int) -> Path:
    """Write `faces.png`, `rows` faces a prompt, `switches.png`, and `box.png`, the same prompts asked of the
    model in the box; return the first."""
    generator = load(folders.run)
    showcase = {prompt: prompt for prompt in SHOWCASE_PROMPTS}
    faces = folders.out / "faces.png"
    _write_grid(faces, generator, showcase, rows, seed, scale=2)
    _write_grid(folders.out / "switches.png", generator, SWITCHES, switch_rows, seed + 1000, scale=2)
    _write_grid(folders.out / "box.png", load(opened_box()), showcase, switch_rows, seed, scale=1)
    return faces


def _write_grid(
    path: Path, generator: FaceGenerator, columns: dict[str, str], rows: int, seed: int, *, scale: int
) -> None:
    """A column a prompt with its title below, a row a seed, which starts from one noise."""
    asked = [generator.inputs_for(generator.read(prompt)) for prompt in columns.values()]
    seeds = [seed + row for row in range(rows) for _ in columns]
    faces = generator.generate(torch.cat(asked).repeat(rows, 1), seeds, generator.sampling)
    captions = [""] * (rows - 1) * len(columns) + list(columns)
    atomic_write(path, pil_to_png(image_grid(faces, len(columns), captions, scale=scale)))
