"""The pictures of the documentation: made by commands of the page, small, and described in words."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image
from support.command_lines import all_commands

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "seeing.md").read_text("utf-8")
PICTURES = ROOT / "docs" / "pictures"
SHOWN = dict(re.findall(r"!\[([^\]]*)\]\(pictures/([^)]*)\)", PAGE))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """examples/docs_pictures.py"""
    spec = importlib.util.spec_from_file_location("docs_pictures", ROOT / "examples" / "docs_pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_picture_of_the_page_is_made_by_a_command_beside_it(script: ModuleType) -> None:
    made = {f"{name}.webp" for name in script.commands_of(PAGE)}
    assert made == set(SHOWN.values()) == {path.name for path in PICTURES.iterdir()}
    assert all(len(words.split()) >= 5 for words in SHOWN), "what is seen, for those who cannot see it"


def test_every_plot_has_its_section() -> None:
    names = {words.removeprefix("plot ") for words in all_commands() if words.startswith("plot ")}
    assert names <= set(re.findall(r"^### (.*)$", PAGE, re.M))


def test_the_pictures_are_small(script: ModuleType) -> None:
    sizes = [path.stat().st_size for path in PICTURES.iterdir()]
    assert max(sizes) <= script.LARGEST_BYTES
    assert sum(sizes) < 1_500_000


def test_the_script_makes_a_picture_and_knows_which_there_are(script: ModuleType, tmp_path: Path) -> None:
    words = ["facegen", "plot", "schedule", "avatars", "--out", "schedule.png"]
    with Image.open(script.make("schedule", words, tmp_path, tmp_path)) as image:
        assert image.format == "WEBP"
        assert image.width <= script.WIDEST_PIXELS
    with pytest.raises(SystemExit, match="nothing"):
        script.main(["nothing"], tmp_path, tmp_path)


def test_an_animation_keeps_its_frames(script: ModuleType, tmp_path: Path) -> None:
    first, *others = [Image.new("RGB", (8, 8), (80 * n, 0, 0)) for n in range(3)]
    moving = {"save_all": True, "append_images": others, "duration": [100, 100, 900], "loop": 0}
    first.save(tmp_path / "a.webp", lossless=True, **moving)
    script._shrink(tmp_path / "a.webp", tmp_path / "b.webp")
    with Image.open(tmp_path / "b.webp") as image:
        assert getattr(image, "n_frames", 1) == 3
