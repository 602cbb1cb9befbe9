"""Writes the data set that `facegen.formats.dataset` reads."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from facegen.errors import DataError
from facegen.formats.dataset import (
    MANIFEST_NAME,
    RECORD_COLUMNS,
    DatasetManifest,
    FingerprintBuilder,
)
from facegen.formats.files import atomic_write, sha256_of, storage_errors, write_json
from facegen.types import LabelSchema

ROWS_PER_GROUP = 128
_IMAGE_BYTES = (
    "image.bytes"  # compressed already; stands as it is, so that one can be read without the others
)
_EXTRA_TYPES = {"int": pa.int64(), "float": pa.float64(), "str": pa.string()}


class DatasetWriter:
    """Writes splits one after another, then the manifest, into an empty folder.

    `extras` gives the type ("int", "float", "str") of each further column. Rows are dictionaries with
    the columns of `facegen.formats.dataset` (`image` is PNG bytes); an attribute is True, False or None.

    Raises:
        DataError: two columns would have one name.
        StorageError: the disk is full or may not be written.
    """

    def __init__(
        self, folder: Path, labels: LabelSchema, extras: dict[str, str], transform: dict[str, Any]
    ) -> None:
        self.folder = folder
        self.labels = labels
        self.extras = extras
        self.transform = transform
        self.counts: dict[str, int] = {}
        self._schema = parquet_schema(labels, extras)
        self._fingerprint = FingerprintBuilder(labels, transform)
        self._seen: Counter[tuple[str, Any]] = Counter()  # (label, value), over all images

    def write_split(
        self, split: str, rows: Iterable[dict[str, Any]], num_rows: int, rows_per_file: int
    ) -> None:
        """Write `num_rows` rows as `data/<split>-00000-of-000NN.parquet`, `rows_per_file` in each."""
        num_files = max(1, -(-num_rows // rows_per_file))
        stored = map(self._count, islice(rows, num_rows))
        self.counts[split] = num_rows
        for index in range(num_files):
            path = self.folder / "data" / f"{split}-{index:05d}-of-{num_files:05d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            of_file = islice(stored, rows_per_file)
            with storage_errors(path), _parquet_writer(path, self._schema) as file:
                while group := list(islice(of_file, ROWS_PER_GROUP)):
                    file.write_table(pa.Table.from_pylist(group, schema=self._schema))

    def finish(self, *, rejects: Sequence[tuple[str, str, str]], **fields: Any) -> DatasetManifest:
        """Write `rejects.csv` (id, location, reason) and `dataset.json`; `fields` go into the manifest."""
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([("id", "location", "reason"), *rejects])
        atomic_write(self.folder / "rejects.csv", table.getvalue())
        seen, rates = self._seen, dict[str, float | None]()
        for name in self.labels.attributes:
            known = seen[name, True] + seen[name, False]
            rates[name] = round(seen[name, True] / known, 6) if known else None
        reasons = Counter(reason.split(":")[0] for _, _, reason in rejects)
        manifest = DatasetManifest(
            labels=self.labels,
            counts=self.counts,
            fingerprint=self._fingerprint.hexdigest(),
            transform=self.transform,
            extras=self.extras,
            attribute_rates=rates,
            class_counts={
                name: {value: seen[name, value] for value in values}
                for name, values in self.labels.classes.items()
            },
            rejects=dict(sorted(reasons.items())),
            files={
                f"data/{path.name}": sha256_of(path)
                for path in sorted((self.folder / "data").glob("*.parquet"))
            },
            **fields,
        )
        write_json(self.folder / MANIFEST_NAME, manifest.to_json())
        return manifest

    def _count(self, row: dict[str, Any]) -> dict[str, Any]:
        stored = {**row, "image": {"bytes": row["image"], "path": f"{row['id']}.png"}}
        for name in self.labels.attributes:
            value = row[name]
            stored[name] = None if value is None else int(value)
        for name in (*self.labels.attributes, *self.labels.classes):
            self._seen[name, row[name]] += 1
        self._fingerprint.add(stored)
        return stored


def _parquet_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    columns = [column for column in _leaves(schema) if column != _IMAGE_BYTES]
    ways: dict[str, Any] = {  # the stubs know no ways by column
        "compression": {**dict.fromkeys(columns, "snappy"), _IMAGE_BYTES: "none"},
        "use_dictionary": columns,
    }
    return pq.ParquetWriter(path, schema, **ways)


def _leaves(schema: pa.Schema) -> list[str]:
    """The columns of `schema` as parquet names them."""
    metadata = io.BytesIO()
    with pq.ParquetWriter(metadata, schema):
        pass
    stored = pq.ParquetFile(metadata).schema
    return [stored.column(index).path for index in range(len(stored))]


def parquet_schema(labels: LabelSchema, extras: dict[str, str]) -> pa.Schema:
    """The columns of a data file, with the `datasets` library's feature types in the metadata."""
    fields = [pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
    texts = {"captions": pa.list_(pa.string())}
    fields += [pa.field(name, texts.get(name, pa.string())) for name in RECORD_COLUMNS]
    fields += [pa.field(name, pa.int8()) for name in labels.attributes]
    fields += [pa.field(name, pa.string()) for name in labels.classes]
    fields += [pa.field(name, _EXTRA_TYPES[kind]) for name, kind in extras.items()]
    twice = [name for name, count in Counter(field.name for field in fields).items() if count > 1]
    if twice:
        raise DataError(
            f"Two columns would be called '{twice[0]}'.",
            hint=f"Rename the label; these names are taken: image, {', '.join(RECORD_COLUMNS)}.",
        )
    features = {field.name: _feature(field.type) for field in fields}
    info = json.dumps({"info": {"features": features}})
    return pa.schema(fields, metadata={"huggingface": info})


def _feature(kind: pa.DataType) -> Any:
    if pa.types.is_struct(kind):
        return {"_type": "Image"}
    if pa.types.is_list(kind):
        return [{"dtype": "string", "_type": "Value"}]
    return {"dtype": "float64" if kind == pa.float64() else str(kind), "_type": "Value"}
