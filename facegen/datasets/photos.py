"""Photos as people have them: every face is found, turned upright and cut out.

A photo gives as many images as it has faces that are large and sharp enough; `party.jpg#2` is its second
largest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from pydantic import Field

from facegen.config.kinds import KindConfig, kind_config, load_kind, trust
from facegen.datasets._photo_choice import Rules, choose, face_id, told
from facegen.datasets._photo_review import review_page
from facegen.datasets._photo_search import Findings, Search, SeenPhoto, State
from facegen.datasets._sources import open_source
from facegen.datasets._tree import Load, SourceTree
from facegen.errors import DataError, UsageError
from facegen.formats.faces import Alignment, FaceSquare, cut_face
from facegen.formats.images import image_size, pil_to_png, read_image
from facegen.pool import worker_pool
from facegen.protocols import DatasetAdapter, FaceFinder, Progress
from facegen.types import CropBox, DatasetRecord, DatasetReject, Recognition

_SOUGHT_PIXELS = 40  # smaller faces are not looked for, unless --min-face asks for them
_SOUGHT_SHARE = 0.75  # of that is what the finder is asked for, so that it misses none at the limit
_HEIC = "facegen[heic]"
_LOOKED_AT = 24  # pictures, to see whether they are photos
_SMALL_PHOTO_PIXELS = 256  # of a shorter side


class Config(KindConfig, frozen=True):
    """`min_face` is the least size of a face in the photo in pixels, about the mean of its width and height;
    left out, a face has to have the pixels that it is given, so that none is enlarged. `exclude` is a file of
    faces to leave out, one a line; `finder` the kind that finds faces."""

    kind: Literal["photos"] = "photos"
    size: int = Field(default=64, ge=8)
    align: Alignment = "ffhq"
    faces: Literal["all", "largest"] = "all"
    min_face: int | None = Field(default=None, ge=16)
    min_sharpness: float = Field(default=0.05, ge=0)
    exclude: str | None = None
    finder: str = "mtcnn"


class Photos(DatasetAdapter):
    """Every face of a folder or archive of photos."""

    crops: Mapping[str, CropBox | None] = {"none": None}
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._states: dict[str, State] = {}
        self._photos: dict[str, SeenPhoto] = {}
        self._reasons: dict[str, str] = {}
        self._findings: Findings | None = None

    def records(self, source: Path | None, progress: Progress) -> Iterator[DatasetRecord]:
        """Look at every photo, then choose; what was found is kept, so that the same is not searched twice.

        Raises:
            DataError: no photos, or no face in any that can be used.
            MissingModelError: the finder is not installed.
        """
        tree = open_source(source, "photos")
        if not tree.images:
            raise DataError(f"No photos in '{tree.root}'.", hint=f"{len(tree.files)} other files are there.")
        self.files = tree.accounted(tree.images)
        self.loads_on_cpu = tree.root.is_dir()  # an archive's entries do not go to other processes
        excluded = self._excluded()
        self._look(tree, progress)
        config = self.config
        rules = Rules(config.faces, config.min_face, config.min_sharpness, config.size, excluded)
        self._reasons = choose(self._photos, rules)
        self._tell(tree, excluded)
        for name, photo in self._photos.items():
            for number, face in enumerate(photo.faces, start=1):
                id = face_id(name, number)
                if not self._reasons[id]:
                    about = tree.record_of(name)
                    load = partial(_cut, about.pop("load"), face.square, config.size)
                    yield DatasetRecord(id=id, load=load, **about)

    def _look(self, tree: SourceTree, progress: Progress) -> None:
        """Fill `_photos`, in the order of the source."""
        finder = _finder(self.config.finder)
        sought = min(self.config.min_face or _SOUGHT_PIXELS, _SOUGHT_PIXELS) * _SOUGHT_SHARE
        search = Search(finder, self.config.align, self.config.size, sought)
        self._findings = Findings(search, self.work, self.earlier)
        records = {name: tree.record_of(name) for name in tree.images}
        self._states = {name: (name, each["size"], each["modified"]) for name, each in records.items()}
        loads: dict[State, Load] = {self._states[name]: each["load"] for name, each in records.items()}
        with (
            progress.stage("looking for faces", total=len(loads)) as task,
            worker_pool(self.workers, processes=self.loads_on_cpu) as pool,
        ):
            self._findings.look(loads, pool, task)
        self._photos = {name: self._findings[state] for name, state in self._states.items()}

    def _tell(self, tree: SourceTree, excluded: frozenset[str]) -> None:
        """Account for every photo and face that is not used, or say that there is none."""
        for name, photo in self._photos.items():
            where = tree.location(name)
            if photo.problem or not photo.faces:
                self.rejects.append(DatasetReject(name, where, photo.problem or "no face: none was found"))
            for number, face in enumerate(photo.faces, start=1):
                id = face_id(name, number)
                square = face.square
                self.details[id] = {
                    "x": round(square.x, 1),
                    "y": round(square.y, 1),
                    "side": round(square.side, 1),
                    "tilt": round(square.tilt, 1),
                    "face_pixels": round(face.pixels, 1),
                    "sharpness": round(face.sharpness, 3),
                }
                if self._reasons[id]:
                    self.rejects.append(DatasetReject(id, where, self._reasons[id]))
        found = len(self._reasons)
        if not any(not reason for reason in self._reasons.values()):
            self._refuse(tree)
        with_faces = sum(bool(photo.faces) for photo in self._photos.values())
        self.read_as.append(
            f"{found:,} faces in {with_faces:,} of {len(self._photos):,} photos, by {self.config.finder}, "
            f"aligned as {self.config.align} does"
        )
        self.notes.append("review.html shows every face; what is clicked there is a list for --exclude.")
        mended = Counter(photo.mended for photo in self._photos.values() if photo.mended)
        self.repairs += [f"{count:,} photos: {what}" for what, count in mended.items()]
        if unknown := sorted(excluded - {*self._reasons, *self._photos}):
            self.repairs.append(f"--exclude: {len(unknown):,} lines name no face (such as '{unknown[0]}')")

    def _refuse(self, tree: SourceTree) -> None:
        reasons = [each.reason for each in self.rejects]
        examples = "\n".join(f"  {each.location}: {each.reason}" for each in self.rejects[:5])
        hint = "--min-face and --min-sharpness allow smaller and less sharp faces."
        if sum(_HEIC in reason for reason in reasons) * 2 > len(reasons):
            hint = f"pip install '{_HEIC}'"
        raise DataError(
            f"None of the {len(self._photos):,} photos of '{tree.root}' has a face that can be used: "
            f"{told(reasons)}.\n{examples}",
            hint=hint,
        )

    def _excluded(self) -> frozenset[str]:
        if self.config.exclude is None:
            return frozenset()
        try:
            text = Path(self.config.exclude).read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--exclude '{self.config.exclude}' cannot be read: {error}.") from error
        return frozenset(line.strip() for line in text.splitlines() if line.strip())

    def beside(self, taken: Mapping[str, str]) -> dict[str, bytes]:
        """`review.html`, and `faces.parquet`, which remembers what was found."""
        assert self._findings is not None
        page = review_page(self._photos, self._reasons, taken)
        return {"review.html": page.encode(), "faces.parquet": self._findings.table([*self._states.values()])}


build = Photos


def recognise(tree: SourceTree) -> Recognition | None:
    """By pictures that are large, and of several sizes or not square, unlike faces that were cut out."""
    step = max(1, len(tree.images) // _LOOKED_AT)
    sizes = [
        size for name in tree.images[::step] if (size := image_size(tree.files[name].load())) is not None
    ]
    if not sizes:
        return None
    shorter = sorted(map(min, sizes))[len(sizes) // 2]
    alike = len(set(sizes)) == 1 and sizes[0][0] == sizes[0][1]
    if shorter < _SMALL_PHOTO_PIXELS or alike:
        return None
    why = f"pictures whose shorter side is {shorter} pixels" + (
        ", of several sizes" if len(set(sizes)) > 1 else ""
    )
    return Recognition(0.7, why, len(tree.images))


def _finder(kind: str) -> FaceFinder:
    trust(kind)  # named by whoever calls
    finder: Any = load_kind("finders", kind).build(kind_config("finders", {"kind": kind}))
    finder.check()
    return finder


def _cut(load: Load, square: FaceSquare, size: int) -> bytes:
    """The PNG of one face."""
    return pil_to_png(cut_face(_decoded(load()), square, size))


@lru_cache(maxsize=1)  # the faces of a photo follow each other
def _decoded(data: bytes) -> Image.Image:
    return read_image(data)[0]
