"""A few crafted images in CelebAMask-HQ's layout, with CelebA's own tables beside them if wanted."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

ATTRIBUTES = ("Blond_Hair", "Eyeglasses", "Male", "Smiling", "Young")
NUM_IMAGES = 12
SIDE = 96


def original_of(number: int) -> str:
    """CelebA's file that image `number` was made from; neighbours are two pictures of one person."""
    return f"{1000 - 7 * number:06d}.jpg"


def jpeg(seed: int, size: tuple[int, int] = (SIDE, SIDE)) -> bytes:
    """A JPEG of random blocks, another for every seed."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(blocks).resize(size, Image.Resampling.BILINEAR).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def write_celeba_hq(root: Path, num_images: int = NUM_IMAGES) -> Path:
    """Images, masks, attributes, poses and mapping as the official archive unpacks."""
    (root / "CelebA-HQ-img").mkdir(parents=True)
    (root / "CelebAMask-HQ-mask-anno" / "0").mkdir(parents=True)
    rows, mapping = [], []
    for number in range(num_images):
        (root / "CelebA-HQ-img" / f"{number}.jpg").write_bytes(jpeg(number))
        (root / "CelebAMask-HQ-mask-anno" / "0" / f"{number:05d}_skin.png").write_bytes(jpeg(number))
        signs = [" 1" if (number >> bit) % 2 else "-1" for bit in range(len(ATTRIBUTES))]
        rows.append(f"{number}.jpg  {' '.join(signs)} ")
        file = original_of(number)
        mapping.append(f"{number:<12}{int(file[:6]) - 1:<12}{file:<20}")
    table = f"{num_images}\n{' '.join(ATTRIBUTES)} \n"
    (root / "CelebAMask-HQ-attribute-anno.txt").write_text(table + "\n".join(rows) + "\n")
    header = f"{'idx':<12}{'orig_idx':<12}{'orig_file':<20}"
    (root / "CelebA-HQ-to-CelebA-mapping.txt").write_text("\n".join([header, *mapping]) + "\n")
    (root / "CelebAMask-HQ-pose-anno.txt").write_text("30000\nYaw Pitch Raw\n0.jpg 1.1 2.2 3.3\n")
    return root


def write_celeba_tables(folder: Path, num_images: int = NUM_IMAGES) -> None:
    """CelebA's partition (the last two pairs are validation and test) and identities (one a pair)."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [0] * (num_images - 4) + [1, 1, 2, 2]
    files = [original_of(number) for number in range(num_images)]
    partition = [f"{file} {part}" for file, part in zip(files, parts, strict=True)]
    identities = [f"{file} {100 + number // 2}" for number, file in enumerate(files)]
    (folder / "list_eval_partition.txt").write_text("\n".join(sorted(partition)) + "\n")
    (folder / "identity_CelebA.txt").write_text("\n".join(sorted(identities)) + "\n")
