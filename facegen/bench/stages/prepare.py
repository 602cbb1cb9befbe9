"""A folder of JPEGs becomes a data set: 178x218 pixels as CelebA's are, cut to a square and made smaller."""

from __future__ import annotations

import io
import shutil
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from facegen.bench.result import StageResult, Way
from facegen.bench.stages._pillow import bare, loop
from facegen.bench.targets import rate_ratio
from facegen.bench.timing import Bench, Subject
from facegen.datasets.avatars import Config, build
from facegen.pool import usable_cores, worker_pool
from facegen.preparation.options import PrepareOptions
from facegen.preparation.prepare import prepare
from facegen.progress import SilentProgress

WIDTH, HEIGHT = 178, 218
DRAWN = 64  # different avatars; every file has grain of its own
GRAIN = 4.0  # grey levels, about a sensor's
CHUNK = 32  # files that a worker is given at once


def measure(bench: Bench) -> StageResult:
    """Into squares of 64 and of 128 pixels on all cores: in processes, and the bare way in threads."""
    number = bench.size(3_000, 60)
    source = write_photos(bench.folder / "photos", number)
    files, cores = sorted(source.iterdir()), usable_cores()
    ways: dict[str, Way] = {}
    findings = []

    def prepared(size: int) -> None:
        out = bench.folder / f"made-{size}"
        shutil.rmtree(out, ignore_errors=True)
        prepare("image-folder", source, out, PrepareOptions(size=size, crop="center", workers=cores))

    def all_bare(size: int) -> None:
        chunks = [files[at : at + CHUNK] for at in range(0, number, CHUNK)]
        with worker_pool(cores, processes=False) as pool:
            list(pool.map(partial(bare, size), chunks))

    for size in (64,) if bench.quick else (64, 128):
        ours, limit, peer = (
            f"{name}, {size} pixels" for name in ("facegen", "bare Pillow", "a loop of Pillow")
        )
        some = files[: bench.size(250, 30)]
        ways |= bench.interleaved(
            Subject(ours, "facegen", partial(prepared, size), number),
            Subject(peer, "peer", partial(loop, size, bench.folder / f"loop-{size}", some), len(some)),
            Subject(limit, "limit", partial(all_bare, size), number),
        )
        findings += [
            rate_ratio(
                f"prepare/{size}", f"to {size} pixels, of bare decoding and resizing", ways[ours], ways[limit]
            ),
            rate_ratio(
                f"prepare/loop-{size}", f"to {size} pixels, times a loop of Pillow", ways[ours], ways[peer]
            ),
        ]
    sizes = {"images": number, "pixels": (WIDTH, HEIGHT), "processes": cores}
    return StageResult("prepare", sizes, tuple(ways.values()), tuple(findings))


def write_photos(folder: Path, count: int) -> Path:
    """`count` JPEGs of avatars with grain."""
    folder.mkdir()
    adapter = build(Config(count=min(count, DRAWN), size=HEIGHT))
    pictures = []
    for record in adapter.records(None, SilentProgress()):
        with Image.open(io.BytesIO(record.load())) as image:
            pictures.append(np.asarray(image.convert("RGB"), dtype=np.float32)[:, :WIDTH])
    random = np.random.default_rng(0)
    for number in range(count):
        picture = pictures[number % len(pictures)]
        grainy = picture + GRAIN * random.standard_normal(picture.shape, dtype=np.float32)
        image = Image.fromarray(grainy.clip(0, 255).astype(np.uint8))
        image.save(folder / f"{number:06d}.jpg", quality=90)
    return folder
