"""Fixtures shared by all tests: a tiny CelebA, a small prepared avatar set, the real photographs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegen.formats.dataset import Dataset
from facegen.workflows.prepare import PrepareOptions, prepare

CELEBA_ATTRIBUTES = ("Bald", "Eyeglasses", "Male", "Smiling", "Young")


def jpeg_bytes(seed: int, size: tuple[int, int] = (89, 109)) -> bytes:
    """A JPEG of random blocks, another for every seed."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(blocks).resize(size, Image.Resampling.BILINEAR).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def write_celeba(root: Path, num_images: int = 12) -> Path:
    """The official layout: three parts, two images per identity."""
    (root / "img_align_celeba").mkdir(parents=True)
    names = [f"{number:06d}.jpg" for number in range(1, num_images + 1)]
    rows, parts, identities = [], [], []
    for index, name in enumerate(names):
        (root / "img_align_celeba" / name).write_bytes(jpeg_bytes(index))
        signs = ["1" if (index >> bit) % 2 else "-1" for bit in range(len(CELEBA_ATTRIBUTES))]
        rows.append(f"{name} {' '.join(sign.rjust(2) for sign in signs)}")
        parts.append(f"{name} {0 if index < num_images - 4 else 1 if index < num_images - 2 else 2}")
        identities.append(f"{name} {index // 2}")
    header = f"{num_images}\n{' '.join(CELEBA_ATTRIBUTES)} \n"
    (root / "list_attr_celeba.txt").write_text(header + "\n".join(rows) + "\n")
    (root / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")
    (root / "identity_CelebA.txt").write_text("\n".join(identities) + "\n")
    return root


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
