"""CelebA (Liu et al. 2015), aligned images: the official layout, its parent folder, or Kaggle's.

list_attr_celeba.txt | .csv        needed      (also in Anno/)
img_align_celeba.zip | folder      needed      (also in Img/; Kaggle's doubled folder)
list_eval_partition.txt | .csv     official partition    (also in Eval/)
identity_CelebA.txt                identities

The three tables are found anywhere in the source, or where `labels` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from facegen.config.kinds import KindConfig
from facegen.datasets._celeba_tables import (
    IDENTITY_FILES,
    PARTITION_FILES,
    parse_attributes,
    parse_identities,
    parse_partition,
)
from facegen.datasets._match import check_match
from facegen.datasets._sources import find_texts, near, open_source, read_first, read_lines, tell
from facegen.datasets._tree import Place, SourceTree
from facegen.errors import DataError
from facegen.protocols import DatasetAdapter, Progress
from facegen.types import CropBox, DatasetRecord, LabelSchema, Recognition

ATTRIBUTE_FILES = ("list_attr_celeba.txt", "list_attr_celeba.csv")
IMAGES = "img_align_celeba"
_READ_AS = {
    ATTRIBUTE_FILES: "attributes",
    PARTITION_FILES: "the partition",
    IDENTITY_FILES: "identities",
}
LICENCE = "CelebA, for non-commercial research only (https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html)"


class Config(KindConfig, frozen=True):
    """`strict` makes an error of every gap and repair; `labels` is a folder or file with the tables."""

    kind: Literal["celeba"] = "celeba"
    strict: bool = False
    labels: str | None = None


class CelebA(DatasetAdapter):
    """CelebA's aligned images (178x218, or smaller copies)."""

    required_splits = ("train", "validation", "test")
    licence = LICENCE
    # "face": 160 of 178 pixels, a little below the middle; hair, hats and chins stay in view
    crops: Mapping[str, CropBox | None] = {"face": (0.9, 0.5, 0.52), "center": (1.0, 0.5, 0.5)}
    config: Config

    def records(self, source: Path | None, progress: Progress) -> Iterator[DatasetRecord]:
        """Match rows and images; rows without images and images without rows are told.

        Raises:
            DataError: a needed file is missing or malformed, nothing matches, or `strict` found a gap.
        """
        tree = open_source(source, "celeba")
        images, inner = _find_images(tree)
        texts = find_texts(
            tree, (*ATTRIBUTE_FILES, *PARTITION_FILES, *IDENTITY_FILES), self.config.labels, self.files
        )
        table = read_first(texts, ATTRIBUTE_FILES, parse_attributes)
        if table is None:
            raise DataError(
                f"'{tree.root}' has images but no attributes.",
                hint=f"Looked for {' or '.join(ATTRIBUTE_FILES)} there and in its folders."
                f"{near(tree, ATTRIBUTE_FILES) or ' For images alone use facegen prepare image-folder.'}",
            )
        partition = read_first(texts, PARTITION_FILES, parse_partition) or {}
        identities = read_first(texts, IDENTITY_FILES, parse_identities) or {}
        self.labels = LabelSchema(attributes=table.names)
        self._account(tree, inner, images, texts, table.told)
        tell(table.notes, self.notes, progress)
        if not partition:
            told = f"No {PARTITION_FILES[0]} in '{tree.root}': images will be split here."
            tell([told], self.notes, progress)
        row_of = {PurePosixPath(name).stem: name for name in table.rows}
        tell(check_match(row_of, images, tree.root.name, strict=self.config.strict), self.notes, progress)
        for stem, image in images.items():
            name = row_of.get(stem)
            if name is not None:
                yield DatasetRecord(
                    id=stem,
                    **inner.record_of(image),
                    attributes=dict(zip(table.names, table.rows[name], strict=True)),
                    split=partition.get(name),
                    identity=identities.get(name),
                )

    def _account(
        self,
        tree: SourceTree,
        inner: SourceTree,
        images: Mapping[str, str],
        texts: Mapping[str, Place],
        told: Sequence[str],
    ) -> None:
        """Say which file was read as what, and what every other one is."""
        self.read_as += read_lines(texts, _READ_AS)
        self.read_as += told
        outer = tree.accounted(tree.images if inner is tree else ())
        self.files = {**outer, **inner.accounted({*images.values()}), **self.files}


build = CelebA


def recognise(tree: SourceTree) -> Recognition | None:
    """By its table of attributes and its images."""
    found = tree.find(ATTRIBUTE_FILES)
    if not found:
        return None
    try:
        images, _ = _find_images(tree)
    except DataError:
        return None
    return Recognition(1.0, f"{next(iter(found))} and aligned images", len(images))


def _find_images(tree: SourceTree) -> tuple[dict[str, str], SourceTree]:
    """The aligned images by stem, and the tree that has them: the source or the archive of images in it."""
    images, inner = _images_in(tree), tree
    packed = next((name for name in tree.files if PurePosixPath(name).name == f"{IMAGES}.zip"), None)
    if not images and packed is not None and tree.root.is_dir():
        inner = open_source(tree.root / packed, "celeba")
        images = _images_in(inner)
    if not images:
        raise DataError(
            f"No aligned images in '{tree.root}'.",
            hint=f"Looked for {IMAGES}.zip and {IMAGES}/*.jpg; {len(tree.files)} files are there.",
        )
    return images, inner


def _images_in(tree: SourceTree) -> dict[str, str]:
    names = tree.images
    aligned = [name for name in names if IMAGES in PurePosixPath(name).parts] or [
        name for name in names if tree.root.name.startswith(IMAGES) or "/" not in name
    ]
    return {PurePosixPath(name).stem: name for name in aligned}
