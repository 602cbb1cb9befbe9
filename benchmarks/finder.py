"""How well a finder of faces finds: recall, precision, where it sees the eyes, and its time.

python benchmarks/finder.py --faces CELEBA               a minute of one core
python benchmarks/finder.py --faces CELEBA --scenes 200 --finder package.module:Name
python benchmarks/finder.py --smoke                      seconds, on rendered avatars

CELEBA is a folder as `facegen prepare celeba` takes it. Its images are aligned, so that it is known where the
eyes are, to about a pixel of 178 x 218. Scenes of 1600 x 1200 are made of them: up to six faces of 40 to
400 pixels, spread evenly over the logarithm, four in ten upright and the others tilted by up to 30 degrees,
before noise and shapes; saved as JPEG or PNG, in turn rotated by EXIF. A face counts as found where the
middle of the eyes is less than 0.3 of its size from the true one; whatever is found besides is wrong. The
error of the eyes is told in pixels of the cut of 128 x 128.
Avatars are no faces to most finders: with --smoke the numbers mean nothing.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter

from facegen.config.kinds import kind_config, load_kind, trust
from facegen.datasets.avatars import Avatars
from facegen.datasets.avatars import Config as AvatarsConfig
from facegen.datasets.celeba import CelebA
from facegen.datasets.celeba import Config as CelebAConfig
from facegen.formats.faces import face_square
from facegen.formats.images import decode_image, read_image
from facegen.progress import SilentProgress
from facegen.protocols import FaceFinder
from facegen.types import FoundFace

CUT_PIXELS = 128
SOUGHT_PIXELS = 30  # as `facegen prepare photos` asks for, which uses faces of 40
SCENE = (1600, 1200)
SIZES = ((40, 60), (60, 80), (80, 160), (160, 401))
TILTS = (("upright", 0, 0), ("to 15°", 0, 15), ("15° to 30°", 15, 30))
NEAR = 0.3
ROTATED = {
    1: None,
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}
ORIENTATION = 0x0112

Eyes = tuple[complex, complex]


@dataclass(frozen=True)
class Pasted:
    """A face of a scene: its size in pixels, its tilt in degrees and where its eyes are."""

    size: float
    tilt: float
    eyes: Eyes


@dataclass(frozen=True)
class Material:
    """Aligned faces: how to get number i, and size, middle and eyes of each as shares of its width."""

    face: Callable[[int], Image.Image]
    count: int
    size: float
    middle: complex
    eyes: Eyes


def celeba(folder: Path) -> Material:
    """CelebA's faces."""
    records = list(CelebA(CelebAConfig()).records(folder, SilentProgress()))
    eyes = ((69.9 + 111.6j) / 178, (108.0 + 111.7j) / 178)
    return Material(
        lambda i: decode_image(records[i].load()), len(records), 95.25 / 178, (88.8 + 128j) / 178, eyes
    )


def avatars(count: int) -> Material:
    """Drawn faces, to try the script with."""
    records = list(Avatars(AvatarsConfig(count=count, size=128)).records(None, SilentProgress()))
    eyes = (0.42 + 0.45j, 0.58 + 0.45j)
    return Material(lambda i: decode_image(records[i].load()), count, 0.45, 0.5 + 0.52j, eyes)


def background(draws: np.random.Generator) -> Image.Image:
    """Noise from coarse to fine, with boxes and ellipses."""
    width, height = SCENE
    pixels = np.zeros((height, width, 3), np.float32)
    for cells in (4, 16, 64, 256):
        noise = draws.normal(0, 40 / cells**0.35, (max(2, height * cells // 1024), width * cells // 1024, 3))
        for channel in range(3):
            layer = Image.fromarray(noise[..., channel].astype(np.float32))
            pixels[..., channel] += np.asarray(layer.resize(SCENE, Image.Resampling.BICUBIC))
    image = Image.fromarray((pixels + draws.uniform(60, 190, 3)).clip(0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = draws.uniform(0, width), draws.uniform(0, height)
        across, down = draws.uniform(20, 300, 2)
        colour = tuple(int(value) for value in draws.integers(0, 255, 3))
        shape = pen.ellipse if draws.random() < 0.5 else pen.rectangle
        shape((x, y, x + across, y + down), fill=colour)
    return image


def scene(material: Material, draws: np.random.Generator, faces: int = 6) -> tuple[Image.Image, list[Pasted]]:
    """A picture with up to `faces` faces that do not touch each other."""
    image, pasted = background(draws), list[Pasted]()
    taken: list[tuple[complex, float]] = []
    for _ in range(30 * faces):
        size = float(np.exp(draws.uniform(math.log(40), math.log(400))))
        tilt = float(draws.uniform(-30, 30)) if draws.random() < 0.6 else 0.0
        reach = 1.25 * size
        place = complex(draws.uniform(reach, SCENE[0] - reach), draws.uniform(reach, SCENE[1] - reach))
        if len(pasted) < faces and all(abs(place - other) > reach + far for other, far in taken):
            taken.append((place, reach))
            face = material.face(int(draws.integers(material.count)))
            pasted.append(paste(image, face, material, place, size, tilt))
    return image, pasted


def paste(
    image: Image.Image, face: Image.Image, material: Material, place: complex, size: float, tilt: float
) -> Pasted:
    """Put a face with its soft edges on the image, its middle at `place`."""
    turn = complex(math.cos(math.radians(tilt)), math.sin(math.radians(tilt)))
    grow = turn * size / (material.size * face.width)
    middle = material.middle * face.width
    if abs(grow) < 1:  # as a camera would: averaged, not skipped through
        smaller = max(2, round(face.width * abs(grow)))
        face = face.resize((smaller, round(face.height * smaller / face.width)), Image.Resampling.LANCZOS)
        grow, middle = turn * size / (material.size * face.width), material.middle * face.width
    mask = Image.new("L", face.size, 0)
    edge = max(1, face.width // 22)
    ImageDraw.Draw(mask).rectangle((edge, edge, face.width - edge - 1, face.height - edge - 1), fill=255)
    mask = mask.filter(ImageFilter.GaussianBlur(edge / 2))
    back = 1 / grow
    start = middle - back * place
    matrix = (back.real, -back.imag, start.real, back.imag, back.real, start.imag)
    layers = [
        each.transform(SCENE, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
        for each in (face, mask)
    ]
    image.paste(layers[0], (0, 0), layers[1])
    left, right = (place + grow * (eye * face.width - middle) for eye in material.eyes)
    return Pasted(size, tilt, (left, right))


def as_file(image: Image.Image, number: int) -> bytes:
    """The bytes of a photo: JPEG or PNG, in turn lying on a side or on its head with EXIF that says so."""
    orientation, turned = list(ROTATED.items())[number % 4]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    lying = image if turned is None else image.transpose(turned)
    data = io.BytesIO()
    lying.save(data, "JPEG" if number % 3 else "PNG", quality=90, exif=exif)
    return data.getvalue()


def scenes(material: Material, count: int, seed: int) -> Iterator[tuple[bytes, list[Pasted]]]:
    """Photos with what is in them."""
    for number in range(count):
        image, pasted = scene(material, np.random.default_rng([seed, number]))
        yield as_file(image, number), pasted


def matched(pasted: list[Pasted], found: list[FoundFace]) -> dict[int, int]:
    """Pasted face -> found face, the nearest first, each once."""
    pairs = sorted(
        (abs(sum(face.eyes) / 2 - sum(eyes_of(other)) / 2) / face.size, here, there)
        for here, face in enumerate(pasted)
        for there, other in enumerate(found)
    )
    matches: dict[int, int] = {}
    for distance, here, there in pairs:
        if distance < NEAR and here not in matches and there not in matches.values():
            matches[here] = there
    return matches


def eyes_of(face: FoundFace) -> Eyes:
    return complex(*face.points[0]), complex(*face.points[1])


def measure(finder: FaceFinder, material: Material, count: int, seed: int) -> dict[str, Any]:
    """Recall, precision, errors of the eyes by size and tilt, and milliseconds a photo."""
    rows: list[tuple[Pasted, float | None]] = []
    wrong, seconds = 0, 0.0
    finder.find(Image.new("RGB", (64, 64)), SOUGHT_PIXELS)  # what loads, loads now
    for data, pasted in scenes(material, count, seed):
        image = read_image(data)[0]
        started = time.process_time()
        found = finder.find(image, SOUGHT_PIXELS)
        seconds += time.process_time() - started
        matches = matched(pasted, found)
        wrong += len(found) - len(matches)
        for here, face in enumerate(pasted):
            there = matches.get(here)
            rows.append((face, None if there is None else error(face, found[there])))
    right = sum(off is not None for _, off in rows)
    return {
        "scenes": count,
        "faces": len(rows),
        "recall": round(right / max(1, len(rows)), 4),
        "precision": round(right / max(1, right + wrong), 4),
        "eye_error_pixels": mean([off for _, off in rows if off is not None]),
        "cpu_milliseconds_a_photo": round(1000 * seconds / count, 1),
        "groups": [group(rows, low, high, *tilt) for low, high in SIZES for tilt in TILTS],
    }


def error(face: Pasted, found: FoundFace) -> float:
    """How far the eyes are from where they are, on average, in pixels of the cut."""
    off = [abs(here - there) for here, there in zip(face.eyes, eyes_of(found), strict=True)]
    return sum(off) / 2 * CUT_PIXELS / face_square(found.points, "ffhq").side


def group(
    rows: list[tuple[Pasted, float | None]], low: int, high: int, name: str, above: float, most: float
) -> dict[str, Any]:
    """The faces of one range of sizes and tilts."""
    inside = [
        off
        for face, off in rows
        if low <= face.size < high and (face.tilt == 0 if most == 0 else above < abs(face.tilt) <= most)
    ]
    found = [off for off in inside if off is not None]
    recall = round(len(found) / len(inside), 4) if inside else None
    return {
        "pixels": f"{low} to {high if high < 401 else 400}",
        "tilt": name,
        "faces": len(inside),
        "recall": recall,
        "eye_error_pixels": mean(found),
    }


def mean(values: list[float]) -> float | None:
    return round(sum(values) / len(values), 3) if values else None


def table(told: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = ["| pixels | tilt | faces | recall | eyes off by |", "|---|---|---|---|---|"]
    for row in told["groups"]:
        recall = "" if row["recall"] is None else f"{100 * row['recall']:.1f} %"
        off = "" if row["eye_error_pixels"] is None else f"{row['eye_error_pixels']:.2f}"
        lines.append(f"| {row['pixels']} | {row['tilt']} | {row['faces']} | {recall} | {off} |")
    return "\n".join(lines)


def finder_of(kind: str) -> FaceFinder:
    """The finder of this kind, ready to work."""
    trust(kind)
    finder: Any = load_kind("finders", kind).build(kind_config("finders", {"kind": kind}))
    finder.check()
    return finder


def main(words: list[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, and the whole result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--faces", type=Path, help="folder of CelebA")
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--finder", default="mtcnn")
    parser.add_argument("--smoke", action="store_true")
    asked = parser.parse_args(words)
    if not asked.smoke and asked.faces is None:
        parser.error("--faces CELEBA, or --smoke")
    torch.set_num_threads(1)
    material = avatars(8) if asked.smoke else celeba(asked.faces)
    told = measure(finder_of(asked.finder), material, 2 if asked.smoke else asked.scenes, asked.seed)
    print(table(told))
    print(json.dumps(told))
    return told


if __name__ == "__main__":
    main()
