"""Looking for faces in photos, in parallel, and remembering what was found.

WORK/faces/part-00000.parquet    what was seen in photos, from when they were looked at; put together as
DATASET/faces.parquet            when the data set is whole, so that choosing otherwise searches nothing anew
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scipy import ndimage

from facegen.errors import DataError, FacegenError, MissingModelError
from facegen.formats.faces import Alignment, FaceSquare, cut_face, face_size, face_square
from facegen.formats.files import atomic_write
from facegen.formats.images import read_image
from facegen.protocols import FaceFinder, ProgressTask
from facegen.types import FoundFace

PHOTOS_PER_PART = 64
HASH_SIDE = 16  # 256 bits
_BATCH = 4
_VERSION = 1
_THUMB_PIXELS, _THUMB_QUALITY = 72, 70
_FINE_SIGMA_PIXELS = 1.0
_KEY = b"facegen.search"
_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("size", pa.int64()),
        ("modified", pa.float64()),
        ("seen", pa.string()),
        ("thumbs", pa.list_(pa.binary())),
    ]
)
Load = Callable[[], bytes]
State = tuple[str, int, float]
"""A photo's name, its size in bytes and when it was last changed: the same state is not looked at again."""


@dataclass(frozen=True)
class SeenFace:
    """A face: the square that would be cut, its size in pixels of the photo, and what decides on its use.

    `sharpness` is that of the square at the size asked for; `hash` the perceptual hash (256 bits,
    hexadecimal); `cut_off` says that an eye or a corner of the mouth lies beyond the photo's edge; `thumb` is
    a small JPEG.
    """

    square: FaceSquare
    pixels: float
    sharpness: float
    hash: str
    cut_off: bool
    thumb: bytes = b""


@dataclass(frozen=True)
class SeenPhoto:
    """Its faces, the largest first, or the `problem` with its file; `mended` is as `read_image` has it."""

    faces: tuple[SeenFace, ...] = ()
    problem: str = ""
    mended: str = ""


@dataclass(frozen=True)
class Search:
    """How a photo is looked at: faces of `smallest_pixels` and more, cut to `size` pixels."""

    finder: FaceFinder
    align: Alignment
    size: int
    smallest_pixels: float

    @property
    def key(self) -> str:
        """What the result depends on besides the photo."""
        parts = (_VERSION, self.finder.version, self.align, self.size, f"{self.smallest_pixels:g}")
        return " ".join(map(str, parts))


def look_at(search: Search, load: Load) -> SeenPhoto:
    """Find the faces of one photo; what fails is told in the `problem`."""
    try:
        image, mended = read_image(load())
    except (OSError, DataError) as error:
        return SeenPhoto(problem=f"unreadable: {error}")
    found = search.finder.find(image, search.smallest_pixels)
    faces = [_seen(image, face, search) for face in found]
    return SeenPhoto(tuple(sorted(faces, key=lambda face: -face.pixels)), mended=mended)


def _seen(image: Image.Image, face: FoundFace, search: Search) -> SeenFace:
    square = face_square(face.points, search.align)
    cut = cut_face(image, square, search.size)
    thumb = io.BytesIO()
    small = cut.resize((_THUMB_PIXELS, _THUMB_PIXELS), Image.Resampling.LANCZOS)
    small.save(thumb, "JPEG", quality=_THUMB_QUALITY)
    beyond = [not (0 <= x < image.width and 0 <= y < image.height) for x, y in face.points]
    return SeenFace(
        square=square,
        pixels=face_size(face.points),
        sharpness=sharpness(cut),
        hash=_hash(cut),
        cut_off=any(beyond),
        thumb=thumb.getvalue(),
    )


def sharpness(image: Image.Image) -> float:
    """The share of a picture's contrast that a blur of one pixel takes away: sharp 0.2, blurred 0.05."""
    grey = np.asarray(image.convert("L"), np.float32)
    fine = grey - ndimage.gaussian_filter(grey, _FINE_SIGMA_PIXELS)
    return round(float(fine.std() / max(float(grey.std()), 1e-3)), 4)


def _hash(image: Image.Image) -> str:
    try:
        import imagehash
    except ImportError as error:
        raise MissingModelError(
            "Doubles are known by imagehash, which is not installed.", hint="pip install 'facegen[faces]'"
        ) from error
    bits = imagehash.phash(image, hash_size=HASH_SIDE).hash
    return np.packbits(bits).tobytes().hex()


class Findings:
    """What was seen in which photo, by `State`, in this search or before."""

    def __init__(self, search: Search, work: Path | None, earlier: Path | None) -> None:
        self._search = search
        self._folder = None if work is None else work / "faces"
        self._seen: dict[State, SeenPhoto] = {}
        parts = [] if self._folder is None else sorted(self._folder.glob("part-*.parquet"))
        for path in [*([] if earlier is None else [earlier / "faces.parquet"]), *parts]:
            if path.is_file():
                self._seen |= _read(path, search.key)
        self._next = 1 + max([int(path.stem.split("-")[1]) for path in parts], default=-1)

    def __getitem__(self, state: State) -> SeenPhoto:
        return self._seen[state]

    def look(self, photos: Mapping[State, Load], pool: Executor, task: ProgressTask) -> None:
        """Look at the photos that were not seen yet, and keep what is done part by part."""
        missing = [state for state in photos if state not in self._seen]
        task.advance(len(photos) - len(missing))
        parts = [missing[at : at + PHOTOS_PER_PART] for at in range(0, len(missing), PHOTOS_PER_PART)]

        def begin(part: Sequence[State]) -> tuple[Sequence[State], Iterator[SeenPhoto]]:
            loads = [photos[state] for state in part]
            return part, pool.map(partial(look_at, self._search), loads, chunksize=_BATCH)

        # the next part is begun before one is waited for
        for (part, seen), _ in pairwise(chain(map(begin, parts), [([], iter(()))])):
            for state, photo in zip(part, seen, strict=True):
                self._seen[state] = photo
                task.advance(1)
            if self._folder is not None:
                path = self._folder / f"part-{self._next:05d}.parquet"
                atomic_write(path, self.table(part))
                self._next += 1

    def table(self, states: Sequence[State]) -> bytes:
        """What was seen in these photos as the bytes of a parquet file, the same every time."""
        rows = [
            {
                "name": name,
                "size": size,
                "modified": modified,
                "seen": _to_json(self._seen[name, size, modified]),
                "thumbs": [face.thumb for face in self._seen[name, size, modified].faces],
            }
            for name, size, modified in states
        ]
        table = pa.Table.from_pylist(rows, _SCHEMA.with_metadata({_KEY: self._search.key.encode()}))
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        return buffer.getvalue()


def _to_json(photo: SeenPhoto) -> str:
    plain = asdict(photo)
    for face in plain["faces"]:
        del face["thumb"]
    return json.dumps(plain)


def _read(path: Path, key: str) -> dict[State, SeenPhoto]:
    """The photos of one file; none where it was looked for otherwise or the file is not whole."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException, FacegenError):
        return {}
    if (table.schema.metadata or {}).get(_KEY) != key.encode():
        return {}
    return {
        (row["name"], row["size"], row["modified"]): _from_json(row["seen"], row["thumbs"])
        for row in table.to_pylist()
    }


def _from_json(text: str, thumbs: Sequence[bytes]) -> SeenPhoto:
    plain: dict[str, Any] = json.loads(text)
    faces = [
        SeenFace(**{**face, "square": FaceSquare(**face["square"])}, thumb=thumb)
        for face, thumb in zip(plain["faces"], thumbs, strict=True)
    ]
    return SeenPhoto(tuple(faces), plain["problem"], plain["mended"])
