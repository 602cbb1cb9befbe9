"""CelebA-HQ (Karras et al. 2018) as CelebAMask-HQ (Lee et al. 2020) brings it, or 1024x1024 images alone.

CelebA-HQ-img/0.jpg ... 29999.jpg     images; without that folder, every image there but the masks
CelebAMask-HQ-attribute-anno.txt      forty attributes
CelebA-HQ-to-CelebA-mapping.txt       which image of CelebA each was made from
list_eval_partition.txt | .csv        CelebA's official partition    } CelebA's own files, anywhere in the
identity_CelebA.txt                   CelebA's identities            } source or one folder deep beside it
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from facegen.config.kinds import KindConfig
from facegen.datasets._celeba_tables import (
    AttributeTable,
    parse_attributes,
    parse_identities,
    parse_mapping,
    parse_partition,
)
from facegen.datasets._sources import IMAGE_SUFFIXES, SourceTree, list_folder, open_source
from facegen.errors import DataError
from facegen.protocols import Progress
from facegen.types import CropBox, DatasetRecord, DatasetReject, LabelSchema

IMAGES, MASKS = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno"
ATTRIBUTE_FILE = "CelebAMask-HQ-attribute-anno.txt"
MAPPING_FILE = "CelebA-HQ-to-CelebA-mapping.txt"
PARTITION_FILES = ("list_eval_partition.txt", "list_eval_partition.csv")
IDENTITY_FILE = "identity_CelebA.txt"
UNLABELLED_CAPTION = "A photo of a face"
CELEBA_FILE_COLUMN = "celeba_file"
LICENCE = (
    "CelebAMask-HQ, for non-commercial research and educational purposes only "
    "(https://github.com/switchablenorms/CelebAMask-HQ)"
)


class Config(KindConfig):
    """`strict` makes an error of rows without images, and of images without rows."""

    kind: Literal["celeba-hq"] = "celeba-hq"
    strict: bool = False


@dataclass(frozen=True)
class _Tables:
    """What the text files say; empty where they are not there."""

    attributes: AttributeTable | None = None
    values: dict[str, tuple[bool, ...]] = field(default_factory=dict)  # by image key
    mapping: dict[int, str] = field(default_factory=dict)
    partition: dict[str, str] = field(default_factory=dict)
    identities: dict[str, str] = field(default_factory=dict)


class CelebAHq:
    """`DatasetAdapter` of CelebA-HQ. Its squares already frame the face as CelebA's `face` crop does."""

    default_splits = (0.8, 0.1, 0.1)
    required_splits = ("train", "validation", "test")
    loads_on_cpu = False
    medium = "photo"
    licence = LICENCE

    def __init__(self, config: Config) -> None:
        self.config = config
        self.crops: dict[str, CropBox | None] = {"none": None, "center": (1.0, 0.5, 0.5)}
        self.labels = LabelSchema()
        self.notes: list[str] = []
        self.rejects: list[DatasetReject] = []

    def records(self, source: Path | None, progress: Progress) -> Iterator[DatasetRecord]:
        """Match images with attributes, and with CelebA's identities and partition where those are known.

        Raises:
            DataError: no images, a malformed text file, or `strict` found a gap.
        """
        tree = open_source(source, "celeba-hq")
        images = self._images_in(tree)
        tables = self._read(tree, progress)
        if tables.attributes is not None:
            self.labels = LabelSchema(attributes=tables.attributes.names)
            self._compare(tables.values, images, tree.root, progress)
        for key, name in images.items():
            if tables.attributes is None or key in tables.values:
                yield self._record(tree, key, name, tables)

    def _images_in(self, tree: SourceTree) -> dict[str, str]:
        """Key -> name of the images, by number; a second file of one number is left out and listed."""
        names = [name for name in tree.images() if MASKS not in PurePosixPath(name).parts]
        within = [name for name in names if IMAGES in PurePosixPath(name).parts] or names
        if not within:
            raise DataError(
                f"No images of CelebA-HQ in '{tree.root}'.",
                hint=f"Looked for {IMAGES}/ and for {', '.join(IMAGE_SUFFIXES)} in any folder but {MASKS}.",
            )
        images: dict[str, str] = {}
        for name in within:
            key = _key(name)
            if key in images:
                reason = f"second image {key}: the first is {images[key]}"
                self.rejects.append(DatasetReject(name, tree.location(name), reason))
            else:
                images[key] = name
        return dict(sorted(images.items(), key=lambda item: (not item[0].isdigit(), len(item[0]), item[0])))

    def _read(self, tree: SourceTree, progress: Progress) -> _Tables:
        texts = _texts_in(tree)
        wanted = (ATTRIBUTE_FILE, MAPPING_FILE, PARTITION_FILES[0], IDENTITY_FILE)
        if any(name not in texts for name in wanted):
            beside = list_folder(tree.root.absolute().parent, max_depth=1)
            texts = {**_texts_in(beside), **texts}

        def read(name: str) -> tuple[str, str] | None:
            if name not in texts:
                return None
            place, inner = texts[name]
            return place.read_text(inner), inner

        attributes, mapping = read(ATTRIBUTE_FILE), read(MAPPING_FILE)
        partition = read(PARTITION_FILES[0]) or read(PARTITION_FILES[1])
        identities = read(IDENTITY_FILE)
        table = parse_attributes(*attributes) if attributes else None
        tables = _Tables(
            attributes=table,
            values={_key(name): row for name, row in table.rows.items()} if table else {},
            mapping=parse_mapping(*mapping) if mapping else {},
            partition=parse_partition(*partition) if partition and mapping else {},
            identities=parse_identities(*identities) if identities and mapping else {},
        )
        self._tell(_notes_on(tables, texts), progress)
        return tables

    def _record(self, tree: SourceTree, key: str, name: str, tables: _Tables) -> DatasetRecord:
        table = tables.attributes
        original = tables.mapping.get(int(key)) if key.isdigit() else None
        known = original is not None
        return DatasetRecord(
            id=PurePosixPath(name).stem,
            load=tree.files[name],
            location=tree.location(name),
            attributes=dict(zip(table.names, tables.values[key], strict=True)) if table else {},
            caption=None if table else UNLABELLED_CAPTION,
            split=tables.partition.get(original) if known else None,
            identity=tables.identities.get(original) if known else None,
            extra={CELEBA_FILE_COLUMN: original} if tables.mapping else {},
        )

    def _compare(
        self, rows: dict[str, tuple[bool, ...]], images: dict[str, str], place: Path, progress: Progress
    ) -> None:
        without_image, without_row = len(rows.keys() - images.keys()), len(images.keys() - rows.keys())
        gaps = [f"{without_image:,} rows have no image"] if without_image else []
        gaps += [f"{without_row:,} images have no row and are left out"] if without_row else []
        if not gaps:
            return
        told = f"'{place.name}': {' and '.join(gaps)}; {len(rows.keys() & images.keys()):,} match."
        if self.config.strict:
            raise DataError(told, hint="Without --strict the images that match are used.")
        self._tell([told], progress)

    def _tell(self, notes: list[str], progress: Progress) -> None:
        self.notes += notes
        for note in notes:
            progress.warn(note)


def build(config: Config) -> CelebAHq:
    return CelebAHq(config)


Texts = dict[str, tuple[SourceTree, str]]  # file name -> the tree it is in and its name there


def _texts_in(tree: SourceTree) -> Texts:
    wanted = {ATTRIBUTE_FILE, MAPPING_FILE, *PARTITION_FILES, IDENTITY_FILE}
    found: Texts = {}
    for name in sorted(tree.files, key=lambda name: -name.count("/")):  # the shallowest wins
        if PurePosixPath(name).name in wanted:
            found[PurePosixPath(name).name] = (tree, name)
    return found


def _key(name: str) -> str:
    """What images and rows are matched by: "00012.png" and "12.jpg" are both image 12."""
    stem = PurePosixPath(name).stem
    return stem.lstrip("0") or "0" if stem.isascii() and stem.isdigit() else stem


def _notes_on(tables: _Tables, texts: Texts) -> list[str]:
    """Which files were not there and what follows, and where CelebA's own were found."""
    notes = list(tables.attributes.notes) if tables.attributes else []
    if tables.attributes is None:
        notes.append(f"No {ATTRIBUTE_FILE}: images without labels, captioned '{UNLABELLED_CAPTION}'.")
    if not tables.mapping:
        notes.append(f"No {MAPPING_FILE}: identities and CelebA's partition are unknown.")
        return notes
    for what, name, found in (
        ("Identities", IDENTITY_FILE, tables.identities),
        ("The partition", PARTITION_FILES[0], tables.partition),
    ):
        names = (name, name.replace(".txt", ".csv"))
        place = next((texts[name] for name in names if name in texts), None)
        if found and place is not None:
            notes.append(f"{what} of CelebA read from '{place[0].location(place[1])}'.")
        else:
            notes.append(f"No {name} of CelebA in the source or beside it: {what.lower()} unknown.")
    return notes
