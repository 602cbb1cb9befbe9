"""Fixtures shared by all tests: a tiny CelebA, a small avatar set, the real photographs, a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# What Windows lacks is hidden from every test where this asks for it, before facegen is imported.
if os.environ.get("FACEGEN_TEST_WITHOUT_POSIX") == "1":
    import support.without_posix  # noqa: F401

# One thread a process, set before torch is loaded: pytest's workers already share the cores among
# them, and torch's threads that wait for a core only spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Properties are about results; how long one takes says how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# From here on, every call of these packages checks the shapes that its annotations name.
CHECKED = ("diffusion", "samplers", "denoisers", "nn", "conditioners", "autoencoders")
install_import_hook([f"facegen.{package}" for package in CHECKED], "beartype.beartype")

from support.celeba_source import write_celeba  # noqa: E402

from facegen.formats.dataset import Dataset  # noqa: E402
from facegen.preparation.prepare import PrepareOptions, prepare  # noqa: E402

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture
def celeba_source(tmp_path: Path) -> Path:
    """A folder in CelebA's official layout with twelve generated images, half size."""
    return write_celeba(tmp_path / "celeba")


@pytest.fixture(scope="session")
def avatars_dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """48 avatars of 32x32 with train, validation and test parts."""
    out = tmp_path_factory.mktemp("avatars") / "avatars32"
    prepare("avatars", None, out, PrepareOptions(size=32, count=48, splits=(0.7, 0.2, 0.1), workers=1))
    return Dataset.open(out)


@pytest.fixture
def real_faces() -> Path:
    """The folder with real photographs (celeba/, utkface/) beside the checkout."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "celeba").is_dir():
        pytest.skip("the real photographs (../shared/data) are not beside this checkout")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium, driven by playwright; what needs it is skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="a browser is driven by playwright")
    chromium = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if chromium is None:
        pytest.skip("there is no Chromium on this computer: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()
