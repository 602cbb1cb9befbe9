"""A prepared data set as it goes to the hub: what opens it again, and its card.

    README.md               the card; its head tells the hub's viewer which files are which split
    dataset.json            what `facegen prepare` did
    data/*.parquet          images, labels, captions

What became of each file of the source (`account.csv`, `rejects.csv`, `review.html`) stays here: names of
files on a disk are nobody's business.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

from facegen.errors import StorageError
from facegen.formats.dataset import MANIFEST_NAME, Dataset, DatasetManifest
from facegen.formats.far import fetched
from facegen.formats.files import sha256_of
from facegen.hub.options import PushOptions
from facegen.hub.package import CARD, Content, Package
from facegen.report.licences import may_be_shown, named_licence
from facegen.report.model_card import card_text
from facegen.report.words import percent
from facegen.vocabulary.words import readable

MARK = "<!-- facegen push wrote this file and overwrites it; take this line out to keep your own words. -->"
SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M")
ABOUT_FILES = "it tells of files on this disk"
LONGEST_LIST = 60  # labels and classes of a table
FOR_FEW = "the terms of its images ({licence}) are not known to let them be handed on"


def dataset_package(folder: Path, repository: str, options: PushOptions) -> Package:
    """The package of a data set.

    Raises:
        DataError: no data set, or labels or images were changed.
        StorageError: a file is missing or altered.
    """
    dataset = Dataset.open(folder)
    told = json.loads((dataset.folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    licence = dataset.manifest.source.get("licence") or options.licence
    told["source"] = {**dataset.manifest.source, "licence": licence}
    check_files(dataset)
    tables = sorted((dataset.folder / "data").glob("*.parquet"))
    files: dict[str, Content] = {
        CARD: _card(dataset, licence, repository),
        MANIFEST_NAME: (json.dumps(told, indent=2, ensure_ascii=False) + "\n").encode(),
        **{f"data/{table.name}": table for table in tables},
    }
    beside = (one.name for one in sorted(dataset.folder.iterdir()) if one.is_file() and one.name not in files)
    for_few = None if may_be_shown(licence) else FOR_FEW.format(licence=licence or "unknown")
    return Package("dataset", files, dict.fromkeys(beside, ABOUT_FILES), for_few)


def check_files(dataset: Dataset) -> None:
    """Compare every file with its sha256; where none are listed, images and labels with the fingerprint.

    Raises:
        DataError, StorageError: they are not what they were.
    """
    fetched(dataset.folder)
    if not dataset.manifest.files:
        dataset.verify()
    for name, digest in dataset.manifest.files.items():
        path = dataset.folder / name
        if not path.is_file() or sha256_of(path) != digest:
            what = "altered" if path.is_file() else "missing"
            raise StorageError(f"'{path}' is {what}.", hint="Prepare the data set again, or copy it again.")


def _card(dataset: Dataset, licence: str | None, repository: str) -> Content:
    """The card; where somebody wrote one, that."""
    own = dataset.folder / CARD
    if own.is_file() and MARK not in own.read_text(encoding="utf-8", errors="replace"):
        return own
    manifest, name = dataset.manifest, repository.rpartition("/")[2]
    rates = sorted(manifest.attribute_rates.items(), key=lambda one: -(one[1] or 0))
    return card_text(
        "dataset_card.md",
        _front_matter(dataset, licence, name),
        mark=Markup(MARK),
        manifest=manifest,
        counts={split: manifest.counts[split] for split in dataset.splits},
        total=sum(manifest.counts.values()),
        name=name,
        repository=repository,
        source=manifest.source.get("name") or manifest.kind,
        licence=licence,
        rates=[(readable(label), percent(rate)) for label, rate in rates[:LONGEST_LIST]],
        classes={
            readable(column): sorted(counts.items(), key=lambda one: -one[1])[:LONGEST_LIST]
            for column, counts in manifest.class_counts.items()
        },
        columns=_columns(manifest),
        split=dataset.splits[0] if dataset.splits else "train",
    ).encode()


def _front_matter(dataset: Dataset, licence: str | None, name: str) -> dict[str, Any]:
    manifest = dataset.manifest
    total, labels = sum(manifest.counts.values()), manifest.labels
    size = next((one for power, one in enumerate(SIZES, start=3) if total < 10**power), "n>10M")
    tasks = ["unconditional-image-generation", "text-to-image"]
    tasks += ["image-classification"] if labels.attributes or labels.classes else []
    files = [{"split": split, "path": f"data/{split}-*"} for split in dataset.splits]
    return {
        **named_licence(licence),
        "pretty_name": name,
        "size_categories": [size],
        "task_categories": tasks,
        "tags": ["facegen", "faces", manifest.kind],
        "configs": [{"config_name": "default", "data_files": files}],
    }


def _columns(manifest: DatasetManifest) -> list[tuple[str, str]]:
    """What stands in each column, in words."""
    side = manifest.image_size
    labels = manifest.labels
    rows = [
        ("image", f"PNG, {side}×{side} pixels"),
        ("id, split", "name of the image, and its part of the data"),
        ("caption, captions", "labels in words"),
        ("identity", "who it is, where the source tells"),
        ("sha256", "of the file it was made of"),
    ]
    if labels.attributes:
        rows.append((f"{len(labels.attributes)} labels", "1 yes, 0 no, empty unknown"))
    rows += [(column, "one of " + ", ".join(names[:8])) for column, names in labels.classes.items()]
    return rows + [(column, kind) for column, kind in manifest.extras.items()]
