"""What the columns of an image data set are: the picture, labels, captions, people, numbers.

Their types tell, the `datasets` library's features, and for the rest their values. Anything can be said
otherwise by name: `{"attr_smile": "Smiling", "label": "race", "notes": "none"}`, or by form and name, as in
`class:race` (`facegen.datasets._columns.FORMS`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from facegen.config.documents import parse_json
from facegen.datasets._columns import Column, is_trinary, judge, parse_form, some_of
from facegen.datasets._layouts import split_named
from facegen.datasets._tables import words
from facegen.datasets.image_folder import CAPTION_COLUMNS, LEAVE_OUT
from facegen.errors import DataError, UsageError, did_you_mean

NAMES_OF_ROLE = {
    "image": ("image", "img", "picture", "photo", "jpg", "png"),
    "caption": CAPTION_COLUMNS,
    "identity": ("identity", "celeb_id", "identity_id", "person_id", "subject_id"),
    "split": ("split",),
    "id": ("id", "image_id", "file_name", "filename"),
}
TAKEN = ("captions", "sha256", *NAMES_OF_ROLE)  # facegen's own columns


class ColumnPlan:
    """What each column of a `schema` becomes; `attributes`, `classes`, `extras` are name -> column.

    `labels` holds the values of all columns but the pictures, `features` are those of `features_of`, `asked`
    is column -> name, role or "none". `class_names` has the names behind a column's numbers, where there are
    any.

    Raises:
        UsageError: `asked` names a column that is not there, a name twice, or an impossible role.
        DataError: no column holds pictures.
    """

    def __init__(
        self, schema: pa.Schema, labels: pa.Table, features: Mapping[str, Any], asked: Mapping[str, str]
    ) -> None:
        _check_asked(schema, asked)
        self.roles = _roles(schema, labels, features, asked)  # of NAMES_OF_ROLE -> column
        self.attributes: dict[str, str] = {}
        self.classes: dict[str, str] = {}
        self.extras: dict[str, str] = {}
        self.class_names: dict[str, tuple[str, ...]] = {}
        self.readings: dict[str, Column] = {}  # by label
        self.left_out: dict[str, str] = {}  # column -> why
        trinary = any(is_trinary(_words_in(labels[name])) for name in labels.column_names)
        for column in schema.names:
            if column in self.roles.values():
                continue
            form, name = parse_form(asked.get(column, column))
            if name == LEAVE_OUT:
                self.left_out[column] = "as asked"
            elif not name:
                self.left_out[column] = "it has no name"
            elif name in TAKEN:
                self.left_out[column] = "facegen's own name"
            elif is_picture(schema.field(column).type):
                self.left_out[column] = "another picture"
            elif column not in labels.column_names:
                self.left_out[column] = f"{schema.field(column).type}"
            else:
                self._judge(name, column, labels[column], features.get(column), form, trinary=trinary)

    def lines(self) -> list[str]:
        """A line for each kind of label, for a person to look over."""
        told = [f"{role} from column '{column}'" for role, column in self.roles.items()]
        if self.attributes:
            told.append(f"attributes (yes/no): {_pairs(self.attributes)}")
        for name, column in self.classes.items():
            values = self.readings[name].values
            told.append(f"class {_pairs({name: column})}: {len(values)} values ({some_of(values)})")
        if self.extras:
            told.append(f"kept as they are: {_pairs(self.extras)}")
        told += [f"{name}: {reading.told}" for name, reading in self.readings.items() if reading.told]
        if self.left_out:
            told.append(f"left out: {', '.join(f'{name} ({why})' for name, why in self.left_out.items())}")
        return told

    def labels_of(self, row: Mapping[str, Any], split: str | None) -> dict[str, Any]:
        """The labels of a `DatasetRecord`, from a row's values by column and its file's split."""
        said = {role: words(row[column]) for role, column in self.roles.items() if role != "image"}

        def value(name: str, column: str) -> Any:
            return self.readings[name].read(self._words_of(row, column))

        return {
            "attributes": {name: value(name, column) for name, column in self.attributes.items()},
            "classes": {name: value(name, column) for name, column in self.classes.items()},
            "extra": {name: row[column] for name, column in self.extras.items()},
            "caption": said.get("caption"),
            "identity": said.get("identity"),
            "split": split_named(said.get("split") or "") or split,
        }

    def _words_of(self, row: Mapping[str, Any], column: str) -> str | None:
        value, names = row[column], self.class_names.get(column)
        if names is None:
            return words(value)
        return None if value is None or value < 0 else names[value]

    def _judge(
        self,
        name: str,
        column: str,
        values: pa.ChunkedArray,
        feature: Any,
        form: str | None,
        *,
        trinary: bool,
    ) -> None:
        cells = _words_in(values)
        if isinstance(feature, tuple):
            found = _different(values)
            outside = [
                value for value in found if not isinstance(value, int) or not -1 <= value < len(feature)
            ]
            if outside:
                raise DataError(
                    f"Column '{column}' holds {outside[0]!r}, and its classes are {len(feature)}."
                )
            self.class_names[column] = feature
            cells = list(feature) if found else []
            form = form or (None if len(feature) == 2 else "class")
        reading = judge(name, cells, form, lambda value: f"column '{column}'", trinary=trinary)
        if reading.role == "nothing":
            self.left_out[column] = reading.told
            return
        if column in self.class_names and reading.role == "class":  # the data's own order of names
            reading = Column("class", words, tuple(dict.fromkeys(self.class_names[column])))
        self.readings[name] = reading
        places = {"attribute": self.attributes, "class": self.classes}
        places.get(reading.role, self.extras)[name] = column


def is_picture(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold pictures: bytes, or a struct with `bytes`."""
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def is_plain(kind: pa.DataType) -> bool:
    """Whether a column of this type can be a label, a number or words."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, _is_words)
    return any(test(kind) for test in tests)


def features_of(card: Mapping[str, Any], subset: str | None, schema: pa.Schema) -> dict[str, Any]:
    """What a README's `dataset_info` and what the `datasets` library wrote into a schema say of the columns,
    which counts for more: column -> a `ClassLabel`'s names, "Image", or None for other features."""
    try:
        stored = parse_json((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, LookupError, TypeError):
        stored = {}
    info = card.get("dataset_info")
    infos = [one for one in (info if isinstance(info, list) else [info]) if isinstance(one, Mapping)]
    if isinstance(info, list) and subset is not None:
        infos = [one for one in infos if one.get("config_name") == subset]
    told = infos[0].get("features") if infos else None
    told = [one for one in told if isinstance(one, Mapping)] if isinstance(told, list) else []
    features = {str(one["name"]): one for one in told if "name" in one}
    features |= stored if isinstance(stored, dict) else {}
    return {column: _feature(one) for column, one in features.items() if isinstance(one, Mapping)}


def _feature(feature: Mapping[str, Any]) -> tuple[str, ...] | str | None:
    """A feature as written in a README, {dtype: {class_label: {names}}}, or as stored, {_type, names}."""
    dtype, kind = feature.get("dtype"), feature.get("_type")
    if kind == "Image" or (kind is None and dtype == "image"):
        return "Image"
    if kind != "ClassLabel":
        feature = dtype.get("class_label", {}) if isinstance(dtype, Mapping) else {}
    names = feature.get("names")
    if isinstance(names, Mapping):  # {"0": "cat", "1": "dog"}
        names = [names[key] for key in sorted(names, key=lambda key: (len(str(key)), str(key)))]
    return tuple(str(name) for name in names) if isinstance(names, list) and names else None


def _check_asked(schema: pa.Schema, asked: Mapping[str, str]) -> None:
    for column in asked:
        if column not in schema.names:
            raise UsageError(
                f"There is no column '{column}'.{did_you_mean(column, schema.names)}",
                hint=f"Columns there: {', '.join(schema.names)}.",
            )
    names = [parse_form(name)[1] for name in asked.values() if name != LEAVE_OUT]
    kept = [column for column in schema.names if column not in asked and column not in NAMES_OF_ROLE]
    twice = next((name for name in names if [*names, *kept].count(name) > 1), None)
    if twice:
        raise UsageError(f"Two columns would be called '{twice}'.", hint="Leave one out: none=COLUMN.")


def _roles(
    schema: pa.Schema, labels: pa.Table, features: Mapping[str, Any], asked: Mapping[str, str]
) -> dict[str, str]:
    """The column of each role. The picture is the one asked for, else one declared to be an image, else one
    so called, else any of pictures."""
    column_of = {name: column for column, name in asked.items()}
    pictures = [column.name for column in schema if is_picture(column.type)]
    wanted = column_of.get("image")
    if wanted is not None and wanted not in pictures:
        raise UsageError(
            f"Column '{wanted}' holds no pictures; its type is {schema.field(wanted).type}.",
            hint=f"Columns with pictures: {', '.join(pictures) or 'none'}.",
        )
    free = [name for name in pictures if name not in asked]
    declared = [name for name in free if features.get(name) == "Image"]
    usual = [name for name in NAMES_OF_ROLE["image"] if name in free]
    found = wanted or next(iter([*declared, *usual, *free]), None)
    if found is None:
        raise DataError(
            "No column holds pictures.",
            hint=f"Columns there: {', '.join(f'{column.name} ({column.type})' for column in schema)}.",
        )
    roles = {"image": found}
    for role in list(NAMES_OF_ROLE)[1:]:
        wanted = column_of.get(role)
        if wanted is not None and wanted not in labels.column_names:
            raise UsageError(f"Column '{wanted}' ({schema.field(wanted).type}) cannot be the {role}.")
        usual = (name for name in NAMES_OF_ROLE[role] if name in labels.column_names and name not in asked)
        found = wanted or next((name for name in usual if _suits(role, labels[name])), None)
        if found is not None:
            roles[role] = found
    return roles


def _suits(role: str, values: pa.ChunkedArray) -> bool:
    found, in_words = _different(values), _is_words(values.type)
    splits = {split_named(str(value)) for value in found}
    return (
        bool(found)
        and {
            "caption": in_words,
            "identity": in_words or pa.types.is_integer(values.type),
            "split": in_words and len(splits) > 1 and None not in splits,
            "id": values.null_count == 0 and len(found) == len(values),
        }[role]
    )


def _is_words(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _words_in(values: pa.ChunkedArray) -> list[str | None]:
    return [words(value) for value in values.to_pylist()]


def _different(values: pa.ChunkedArray) -> list[Any]:
    """The different values that are something; blank words are nothing."""
    found = [value for value in values.unique().to_pylist() if value is not None]
    return [value for value in found if not isinstance(value, str) or value.strip()]


def _pairs(names: Mapping[str, str]) -> str:
    return ", ".join(name if name == column else f"{name} from '{column}'" for name, column in names.items())
