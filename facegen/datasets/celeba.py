"""CelebA (Liu et al. 2015), aligned images: the official layout, its parent folder, or Kaggle's.

list_attr_celeba.txt | .csv        needed      (also in Anno/)
img_align_celeba.zip | folder      needed      (also in Img/; Kaggle's doubled folder)
list_eval_partition.txt | .csv     official partition    (also in Eval/)
identity_CelebA.txt                identities
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from facegen.datasets._sources import Place, SourceTree, check_match, open_source, read_first, tell
from facegen.errors import DataError
from facegen.protocols import DatasetAdapter, Progress
from facegen.types import CropBox, DatasetRecord, LabelSchema

ATTRIBUTE_FILES = ("list_attr_celeba.txt", "list_attr_celeba.csv")
IMAGES = "img_align_celeba"
LICENCE = "CelebA, for non-commercial research only (https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html)"


class Config(KindConfig, frozen=True):
    """`strict` makes an error of rows without images, and of images without rows."""

    kind: Literal["celeba"] = "celeba"
    strict: bool = False


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
        texts, images, place = _find(source)
        table = read_first(texts, ATTRIBUTE_FILES, parse_attributes)
        if table is None:
            raise DataError(
                f"'{place}' has images but no attributes.",
                hint=f"Looked for {' or '.join(ATTRIBUTE_FILES)} there, in its folders and beside it; "
                "for images alone use facegen prepare image-folder.",
            )
        partition = read_first(texts, PARTITION_FILES, parse_partition) or {}
        identities = read_first(texts, IDENTITY_FILES, parse_identities) or {}
        self.labels = LabelSchema(attributes=table.names)
        tell(table.notes, self.notes, progress)
        if not partition:
            told = f"No {PARTITION_FILES[0]} in '{place}': images will be split here."
            tell([told], self.notes, progress)
        row_of = {PurePosixPath(name).stem: name for name in table.rows}
        tell(check_match(row_of, images, place.name, strict=self.config.strict), self.notes, progress)
        for stem, (tree, image) in images.items():
            name = row_of.get(stem)
            if name is not None:
                yield DatasetRecord(
                    id=stem,
                    load=tree.files[image],
                    location=tree.location(image),
                    attributes=dict(zip(table.names, table.rows[name], strict=True)),
                    split=partition.get(name),
                    identity=identities.get(name),
                )


build = CelebA


def _find(source: Path | None) -> tuple[dict[str, Place], dict[str, Place], Path]:
    """Annotation files in `source`, or beside it if it holds images only; images by stem; what was read."""
    tree = open_source(source, "celeba")
    wanted = (*ATTRIBUTE_FILES, *PARTITION_FILES, *IDENTITY_FILES)
    texts = tree.find(wanted)
    images = _images_in(tree)
    if not images:
        packed = next((name for name in tree.files if PurePosixPath(name).name == f"{IMAGES}.zip"), None)
        if packed is not None and tree.root.is_dir():
            images = _images_in(open_source(tree.root / packed, "celeba"))
    if not images:
        found = ", ".join(sorted(texts)) or "nothing of CelebA"
        raise DataError(
            f"No aligned images in '{tree.root}'.",
            hint=f"Looked for {IMAGES}.zip and {IMAGES}/*.jpg; found {found}.",
        )
    if not any(name in texts for name in ATTRIBUTE_FILES):
        texts = {**tree.beside().find(wanted), **texts}
    return texts, images, tree.root


def _images_in(tree: SourceTree) -> dict[str, Place]:
    names = tree.images()
    aligned = [name for name in names if IMAGES in PurePosixPath(name).parts] or [
        name for name in names if tree.root.name.startswith(IMAGES) or "/" not in name
    ]
    return {PurePosixPath(name).stem: (tree, name) for name in aligned}
