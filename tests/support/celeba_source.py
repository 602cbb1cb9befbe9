"""A tiny CelebA in its official layout, of generated images."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

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
