"""CelebA-HQ (Karras et al. 2018) as CelebAMask-HQ (Lee et al. 2020) brings it, or 1024x1024 images alone.

CelebA-HQ-img/0.jpg ... 29999.jpg     images; without that folder, every image there but the masks
CelebAMask-HQ-attribute-anno.txt      forty attributes
CelebA-HQ-to-CelebA-mapping.txt       which image of CelebA each was made from
list_eval_partition.txt | .csv        CelebA's official partition    } CelebA's own files, anywhere in the
identity_CelebA.txt                   CelebA's identities            } source, or where `labels` says
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

from facegen.config.kinds import KindConfig
from facegen.datasets._celeba_tables import (
    IDENTITY_FILES,
    PARTITION_FILES,
    is_number,
    parse_attributes,
    parse_identities,
    parse_mapping,
    parse_partition,
)
from facegen.datasets._match import check_match
from facegen.datasets._sources import find_texts, near, open_source, read_first, read_lines, tell
from facegen.datasets._tree import SourceTree
from facegen.errors import DataError
from facegen.protocols import DatasetAdapter, Progress
from facegen.types import CropBox, DatasetRecord, DatasetReject, LabelSchema, Recognition

IMAGES, MASKS = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno"
ATTRIBUTE_FILE = "CelebAMask-HQ-attribute-anno.txt"
MAPPING_FILE = "CelebA-HQ-to-CelebA-mapping.txt"
UNLABELLED_CAPTION = "A photo of a face"
CELEBA_FILE_COLUMN = "celeba_file"
_READ_AS = {
    (ATTRIBUTE_FILE,): "attributes",
    (MAPPING_FILE,): "which image of CelebA each is",
    PARTITION_FILES: "CelebA's partition",
    IDENTITY_FILES: "CelebA's identities",
}
LICENCE = (
    "CelebAMask-HQ, for non-commercial research and educational purposes only "
    "(https://github.com/switchablenorms/CelebAMask-HQ)"
)


class Config(KindConfig, frozen=True):
    """`strict` makes an error of every gap and repair; `labels` is a folder with CelebA's own tables, or
    those of CelebA-HQ."""

    kind: Literal["celeba-hq"] = "celeba-hq"
    strict: bool = False
    labels: str | None = None


class CelebAHq(DatasetAdapter):
    """CelebA-HQ. Its squares already frame the face as CelebA's `face` crop does."""

    required_splits = ("train", "validation", "test")
    licence = LICENCE
    crops: Mapping[str, CropBox | None] = {"none": None, "center": (1.0, 0.5, 0.5)}
    config: Config

    def records(self, source: Path | None, progress: Progress) -> Iterator[DatasetRecord]:
        """Match images with attributes, and with CelebA's identities and partition where those are known.

        Raises:
            DataError: no images, a malformed text file, or `strict` found a gap.
        """
        tree = open_source(source, "celeba-hq")
        images = self._images_in(tree)
        wanted = (ATTRIBUTE_FILE, MAPPING_FILE, *PARTITION_FILES, *IDENTITY_FILES)
        texts = find_texts(tree, wanted, self.config.labels, self.files)
        self.files = {**tree.accounted({*images.values()}), **self.files}
        table = read_first(texts, [ATTRIBUTE_FILE], parse_attributes)
        mapping = read_first(texts, [MAPPING_FILE], parse_mapping) or {}
        known = texts if mapping else {}  # by the mapping alone are CelebA's own files of use
        partition = read_first(known, PARTITION_FILES, parse_partition) or {}
        identities = read_first(known, IDENTITY_FILES, parse_identities) or {}
        notes = (
            list(table.notes)
            if table
            else [
                f"No {ATTRIBUTE_FILE}: images without labels, captioned '{UNLABELLED_CAPTION}'."
                + near(tree, [ATTRIBUTE_FILE])
            ]
        )
        self.read_as += read_lines(texts, _READ_AS if mapping else {(ATTRIBUTE_FILE,): "attributes"})
        self.read_as += table.told if table else ()
        if not mapping:
            told = f"No {MAPPING_FILE}: identities and CelebA's partition are unknown."
            notes.append(told + near(tree, [MAPPING_FILE]))
        elif not (partition and identities):
            missing = IDENTITY_FILES if not identities else PARTITION_FILES
            what = "identities" if not identities else "the partition"
            notes.append(f"No {missing[0]} of CelebA in the source: {what} unknown." + near(tree, missing))
        tell(notes, self.notes, progress)
        values = {_key(name): row for name, row in table.rows.items()} if table else {}
        if table is not None:
            self.labels = LabelSchema(attributes=table.names)
            gaps = check_match(values, images, tree.root.name, strict=self.config.strict)
            tell(gaps, self.notes, progress)
        for key, name in images.items():
            if table is not None and key not in values:
                continue
            original = mapping.get(int(key)) if is_number(key) else None
            yield DatasetRecord(
                id=PurePosixPath(name).stem,
                **tree.record_of(name),
                attributes=dict(zip(table.names, values[key], strict=True)) if table else {},
                caption=None if table else UNLABELLED_CAPTION,
                split=partition.get(original or ""),
                identity=identities.get(original or ""),
                extra={CELEBA_FILE_COLUMN: original} if mapping else {},
            )

    def _images_in(self, tree: SourceTree) -> dict[str, str]:
        """Key -> name of the images, by number; a second file of one number is left out and listed."""
        names = [name for name in tree.images if MASKS not in PurePosixPath(name).parts]
        within = [name for name in names if IMAGES in PurePosixPath(name).parts] or names
        if not within:
            raise DataError(
                f"No images of CelebA-HQ in '{tree.root}'.",
                hint=f"Looked for {IMAGES}/ and for images (.jpg, .png, ...) in any folder but {MASKS}.",
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


build = CelebAHq


def recognise(tree: SourceTree) -> Recognition | None:
    """By its table of attributes, or the name of its folder of images."""
    if not tree.find((ATTRIBUTE_FILE,)) and not any(
        IMAGES in PurePosixPath(name).parts for name in tree.files
    ):
        return None
    count = sum(MASKS not in PurePosixPath(name).parts for name in tree.images)
    return Recognition(1.0, f"{ATTRIBUTE_FILE} or {IMAGES}/", count) if count else None


def _key(name: str) -> str:
    """What images and rows are matched by: "00012.png" and "12.jpg" are both image 12."""
    stem = PurePosixPath(name).stem
    return stem.lstrip("0") or "0" if stem.isascii() and stem.isdigit() else stem
