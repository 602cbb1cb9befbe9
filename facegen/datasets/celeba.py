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
from facegen.datasets._celeba_tables import parse_attributes, parse_identities, parse_partition
from facegen.datasets._sources import Load, SourceTree, list_folder, open_source
from facegen.errors import DataError
from facegen.protocols import Progress
from facegen.types import CropBox, DatasetRecord, DatasetReject, LabelSchema

ATTRIBUTE_FILES = ("list_attr_celeba.txt", "list_attr_celeba.csv")
PARTITION_FILES = ("list_eval_partition.txt", "list_eval_partition.csv")
IDENTITY_FILES = ("identity_CelebA.txt",)
IMAGES = "img_align_celeba"
LICENCE = "CelebA, for non-commercial research only (https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html)"


class Config(KindConfig):
    """`strict` makes an error of rows without images, and of images without rows."""

    kind: Literal["celeba"] = "celeba"
    strict: bool = False


class CelebA:
    """`DatasetAdapter` of CelebA's aligned images (178x218, or smaller copies)."""

    default_splits = (0.8, 0.1, 0.1)
    required_splits = ("train", "validation", "test")
    loads_on_cpu = False
    medium = "photo"
    licence = LICENCE

    def __init__(self, config: Config) -> None:
        self.config = config
        # "face": 160 of 178 pixels, a little below the middle; hair, hats and chins stay in view
        self.crops: dict[str, CropBox | None] = {"face": (0.9, 0.5, 0.52), "center": (1.0, 0.5, 0.5)}
        self.labels = LabelSchema()
        self.notes: list[str] = []
        self.rejects: list[DatasetReject] = []

    def records(self, source: Path | None, progress: Progress) -> Iterator[DatasetRecord]:
        """Match rows and images; rows without images and images without rows are told.

        Raises:
            DataError: a needed file is missing or malformed, nothing matches, or `strict` found a gap.
        """
        texts, images, place = _find(source)
        table = parse_attributes(*_need(texts, ATTRIBUTE_FILES, place))
        partition_text, identity_text = _one_of(texts, PARTITION_FILES), _one_of(texts, IDENTITY_FILES)
        partition = parse_partition(*partition_text) if partition_text else {}
        identities = parse_identities(*identity_text) if identity_text else {}
        self.labels = LabelSchema(attributes=table.names)
        self._tell(table.notes, progress)
        if not partition:
            self._tell([f"No {PARTITION_FILES[0]} in '{place}': images will be split here."], progress)
        row_of = {PurePosixPath(name).stem: name for name in table.rows}
        self._compare(row_of, images, place, progress)
        for stem, (location, load) in images.items():
            name = row_of.get(stem)
            if name is not None:
                yield DatasetRecord(
                    id=stem,
                    load=load,
                    location=location,
                    attributes=dict(zip(table.names, table.rows[name], strict=True)),
                    split=partition.get(name),
                    identity=identities.get(name),
                )

    def _compare(
        self, rows: Mapping[str, str], images: Mapping[str, object], place: Path, progress: Progress
    ) -> None:
        without_image, without_row = len(rows.keys() - images.keys()), len(images.keys() - rows.keys())
        gaps = []
        if without_image:
            gaps.append(f"{without_image:,} rows have no image")
        if without_row:
            gaps.append(f"{without_row:,} images have no row and are left out")
        if not gaps:
            return
        told = f"'{place.name}': {' and '.join(gaps)}; {len(rows.keys() & images.keys()):,} match."
        if self.config.strict:
            raise DataError(told, hint="Without --strict the images that match are used.")
        self._tell([told], progress)

    def _tell(self, notes: list[str] | tuple[str, ...], progress: Progress) -> None:
        self.notes += notes
        for note in notes:
            progress.warn(note)


def build(config: Config) -> CelebA:
    return CelebA(config)


Texts = dict[str, tuple[SourceTree, str]]  # file name -> the tree it is in and its name there
Images = dict[str, tuple[str, Load]]  # stem -> location and how to read it


def _find(source: Path | None) -> tuple[Texts, Images, Path]:
    """Find annotation files and images in `source`, and annotations beside it if it holds images only."""
    tree = open_source(source, "celeba")
    texts = _texts_in(tree)
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
        texts = {**_texts_in(list_folder(tree.root.absolute().parent, max_depth=1)), **texts}
    return texts, images, tree.root


def _texts_in(tree: SourceTree) -> Texts:
    wanted = {*ATTRIBUTE_FILES, *PARTITION_FILES, *IDENTITY_FILES}
    found: Texts = {}
    for name in sorted(tree.files, key=lambda name: -name.count("/")):  # the shallowest wins
        if PurePosixPath(name).name in wanted:
            found[PurePosixPath(name).name] = (tree, name)
    return found


def _images_in(tree: SourceTree) -> Images:
    names = tree.images()
    aligned = [name for name in names if IMAGES in PurePosixPath(name).parts] or [
        name for name in names if tree.root.name.startswith(IMAGES) or "/" not in name
    ]
    return {PurePosixPath(name).stem: (tree.location(name), tree.files[name]) for name in aligned}


def _one_of(texts: Texts, names: tuple[str, ...]) -> tuple[str, str] | None:
    for name in names:
        if name in texts:
            tree, inner = texts[name]
            return tree.read_text(inner), inner
    return None


def _need(texts: Texts, names: tuple[str, ...], place: Path) -> tuple[str, str]:
    found = _one_of(texts, names)
    if found is None:
        raise DataError(
            f"'{place}' has images but no attributes.",
            hint=f"Looked for {' or '.join(names)} there, in its folders and beside it; for images alone use "
            "facegen prepare image-folder.",
        )
    return found
