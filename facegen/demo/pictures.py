"""The demo's two grids: faces for whole prompts, and one word changed at unchanged noise."""

from __future__ import annotations

from pathlib import Path

from facegen.formats.box import opened_box
from facegen.making.options import MakeFolders
from facegen.making.pictures import write_grid
from facegen.making.plan import Plan
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


def draw_pictures(
    folders: MakeFolders, plan: Plan, dataset: Path, *, seed: int, rows: int, switch_rows: int
) -> None:
    """Write the grid, `rows` faces a prompt, `switches.png`, and `box.png`, the same prompts asked of the
    model in the box."""
    generator = load(folders.run)
    showcase = {prompt: prompt for prompt in SHOWCASE_PROMPTS}
    _write(folders.grid, generator, showcase, rows, seed)
    _write(folders.out / "switches.png", generator, SWITCHES, switch_rows, seed + 1000)
    _write(folders.out / "box.png", load(opened_box()), showcase, switch_rows, seed)


def _write(path: Path, generator: FaceGenerator, prompts: dict[str, str], rows: int, seed: int) -> None:
    """A column a prompt, with its title below."""
    columns = {title: generator.read(prompt) for title, prompt in prompts.items()}
    write_grid(path, generator, columns, rows, seed)
