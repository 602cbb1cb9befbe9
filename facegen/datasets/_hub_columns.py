"""What the columns of an image data set are: the picture, labels, captions, people, numbers.

Their types tell, the `datasets` library's features, and for the rest their values. Anything can be said
otherwise by name: `{"attr_smile": "Smiling", "label": "race", "notes": "none"}`. Whole numbers stay numbers
unless the name says `class:race`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from facegen.datasets._metadata import CAPTION_COLUMNS, MAX_CLASSES
from facegen.datasets.image_folder import SPLIT_FOLDERS
from facegen.errors import DataError, UsageError, did_you_mean

LEAVE_OUT = "none"
ROLES = ("image", "caption", "identity", "split", "id")
TAKEN = ("captions", "sha256", "image", "caption", "identity", "split", "id")  # facegen's own columns
NAMES_OF_ROLE = {
    "image": ("image", "img", "picture", "photo", "jpg", "png"),
    "caption": CAPTION_COLUMNS,
    "identity": ("identity", "celeb_id", "identity_id", "person_id", "subject_id"),
    "split": ("split",),
    "id": ("id", "image_id", "file_name", "filename"),
}
CLASS_NAMES = ("label", "labels", "class")
AS_CLASS = "class:"  # before a name: a class, whatever the column holds
_YES_NO_NAMES = ({"0", "1"}, {"no", "yes"}, {"false", "true"}, {"-1", "1"})


@dataclass
class ColumnPlan:
    """What each column becomes; `attributes`, `classes`, `extras` are name -> column.

    `class_names` has the names behind a column's numbers, where there are any.
    """

    roles: dict[str, str] = field(default_factory=dict)  # of ROLES -> column
    attributes: dict[str, str] = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)
    extras: dict[str, str] = field(default_factory=dict)
    class_names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    class_values: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by label, in order
    left_out: dict[str, str] = field(default_factory=dict)  # column -> why

    def columns(self) -> list[str]:
        """Every column that is read besides the picture."""
        labels = (*self.attributes.values(), *self.classes.values(), *self.extras.values())
        return [*(column for role, column in self.roles.items() if role != "image"), *labels]

    def lines(self) -> list[str]:
        """A line for each kind of label, for a person to look over."""
        told = [f"{role} from column '{column}'" for role, column in self.roles.items()]
        if self.attributes:
            told.append(f"attributes (yes/no): {_pairs(self.attributes)}")
        for name, column in self.classes.items():
            values = self.class_values[name]
            shown = ", ".join(values[:6]) + (", ..." if len(values) > 6 else "")
            told.append(f"class {_pairs({name: column})}: {len(values)} values ({shown})")
        if self.extras:
            told.append(f"kept as they are: {_pairs(self.extras)}")
        if self.left_out:
            told.append(f"left out: {', '.join(f'{name} ({why})' for name, why in self.left_out.items())}")
        return told


def plan_columns(
    schema: pa.Schema, labels: pa.Table, features: Mapping[str, Any], asked: Mapping[str, str]
) -> ColumnPlan:
    """Decide what every column of `schema` is; `labels` holds the values of all but the pictures.

    `features` are the `datasets` library's; `asked` is column -> name, role or "none".

    Raises:
        UsageError: `asked` names a column that is not there, a name twice, or an impossible role.
        DataError: no column holds pictures.
    """
    _check_asked(schema, asked)
    plan = ColumnPlan()
    _find_image(plan, schema, features, asked)
    _find_roles(plan, schema, labels, asked)
    for column in schema.names:
        if column in plan.roles.values() or column in plan.left_out:
            continue
        asked_for = asked.get(column, column)
        name = asked_for.removeprefix(AS_CLASS)
        if name == LEAVE_OUT:
            plan.left_out[column] = "as asked"
        elif name in TAKEN:
            plan.left_out[column] = "facegen's own name"
        elif is_picture(schema.field(column).type):
            plan.left_out[column] = "another picture"
        elif column not in labels.column_names:
            plan.left_out[column] = f"{schema.field(column).type}"
        else:
            named = class_names(features.get(column))
            _sort_label(plan, name, column, labels[column], named, as_class=asked_for != name)
    return plan


def label_reader(plan: ColumnPlan) -> Callable[[Mapping[str, list[Any]], int, str | None], dict[str, Any]]:
    """A function (columns' values, row, the file's split) -> the labels of a `DatasetRecord`."""
    roles, names = plan.roles, plan.class_names

    def labels_of(values: Mapping[str, list[Any]], row: int, split: str | None) -> dict[str, Any]:
        words = {role: _words(values[roles[role]][row]) for role in roles if role != "image"}
        return {
            "attributes": {
                name: _yes_no(values[column][row], names.get(column))
                for name, column in plan.attributes.items()
            },
            "classes": {
                name: _class_of(values[column][row], names.get(column))
                for name, column in plan.classes.items()
            },
            "extra": {name: values[column][row] for name, column in plan.extras.items()},
            "caption": words.get("caption"),
            "identity": words.get("identity"),
            "split": SPLIT_FOLDERS.get((words.get("split") or "").casefold(), split),
        }

    return labels_of


def is_picture(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold pictures: bytes, or a struct with `bytes`."""
    if pa.types.is_struct(kind):
        return any(kind.field(index).name == "bytes" for index in range(kind.num_fields))
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def is_plain(kind: pa.DataType) -> bool:
    """Whether a column of this type can be a label, a number or words."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_string)
    return any(test(kind) for test in tests) or pa.types.is_large_string(kind)


def class_names(feature: Any) -> tuple[str, ...] | None:
    """The names of a ClassLabel, as stored in a schema or written in a README; None for other features."""
    if not isinstance(feature, Mapping):
        return None
    if feature.get("_type") == "ClassLabel":
        names = feature.get("names")
    else:
        dtype = feature.get("dtype")
        names = dtype.get("class_label", {}).get("names") if isinstance(dtype, Mapping) else None
    if isinstance(names, Mapping):  # {"0": "cat", "1": "dog"}
        names = [names[key] for key in sorted(names, key=int)]
    return tuple(str(name) for name in names) if isinstance(names, list) and names else None


def readme_features(card: Mapping[str, Any], subset: str | None) -> dict[str, Any]:
    """The features that a README's `dataset_info` describes: column -> description."""
    info = card.get("dataset_info")
    for one in info if isinstance(info, list) else [info]:
        if not isinstance(one, Mapping):
            continue
        if subset in (None, one.get("config_name")) or not isinstance(info, list):
            features = one.get("features")
            return {
                str(feature["name"]): feature
                for feature in (features if isinstance(features, list) else ())
                if isinstance(feature, Mapping) and "name" in feature
            }
    return {}


def _check_asked(schema: pa.Schema, asked: Mapping[str, str]) -> None:
    for column in asked:
        if column not in schema.names:
            raise UsageError(
                f"There is no column '{column}'.{did_you_mean(column, schema.names)}",
                hint=f"Columns there: {', '.join(schema.names)}.",
            )
    names = [name.removeprefix(AS_CLASS) for name in asked.values() if name != LEAVE_OUT]
    asked_names = list(names)
    names += [column for column in schema.names if column not in asked and column not in ROLES]
    twice = next((name for name in asked_names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"Two columns would be called '{twice}'.", hint="Leave one out: none=COLUMN.")


def _find_image(
    plan: ColumnPlan, schema: pa.Schema, features: Mapping[str, Any], asked: Mapping[str, str]
) -> None:
    pictures = [name for name in schema.names if is_picture(schema.field(name).type)]
    wanted = next((column for column, name in asked.items() if name == "image"), None)
    if wanted is not None and wanted not in pictures:
        raise UsageError(
            f"Column '{wanted}' holds no pictures; its type is {schema.field(wanted).type}.",
            hint=f"Columns with pictures: {', '.join(pictures) or 'none'}.",
        )
    pictures = [name for name in pictures if name not in asked or name == wanted]
    declared = [name for name in pictures if _type_of(features.get(name)) == "Image"]
    usual = [name for name in NAMES_OF_ROLE["image"] if name in pictures]
    found = wanted or next(iter([*declared[:1], *usual, *pictures]), None)
    if found is None:
        raise DataError(
            "No column holds pictures.",
            hint=f"Columns there: {', '.join(f'{field.name} ({field.type})' for field in schema)}.",
        )
    plan.roles["image"] = found


def _find_roles(plan: ColumnPlan, schema: pa.Schema, labels: pa.Table, asked: Mapping[str, str]) -> None:
    for role in ROLES[1:]:
        wanted = next((column for column, name in asked.items() if name == role), None)
        if wanted is not None and wanted not in labels.column_names:
            raise UsageError(f"Column '{wanted}' ({schema.field(wanted).type}) cannot be the {role}.")
        usual = (name for name in NAMES_OF_ROLE[role] if name in labels.column_names and name not in asked)
        found = wanted or next((name for name in usual if _suits(role, labels[name])), None)
        if found is not None:
            plan.roles[role] = found


def _suits(role: str, values: pa.ChunkedArray) -> bool:
    if not _unique(values):
        return False
    words = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    if role == "caption":
        return words
    if role == "split":
        found = {str(value).casefold() for value in _unique(values)}
        return words and len(found) > 1 and found <= set(SPLIT_FOLDERS)
    if role == "id":
        return values.null_count == 0 and len(_unique(values)) == len(values)
    return words or pa.types.is_integer(values.type)


def _sort_label(
    plan: ColumnPlan,
    name: str,
    column: str,
    values: pa.ChunkedArray,
    names: tuple[str, ...] | None,
    *,
    as_class: bool,
) -> None:
    found = _unique(values)
    if not found:
        plan.left_out[column] = "always empty"
    elif names is not None:
        outside = [value for value in found if not isinstance(value, int) or not -1 <= value < len(names)]
        if outside:
            raise DataError(f"Column '{column}' holds {outside[0]!r}, and its classes are {len(names)}.")
        plan.class_names[column] = names
        if not as_class and {each.casefold() for each in names} in _YES_NO_NAMES:
            plan.attributes[name] = column
        else:
            plan.classes[name], plan.class_values[name] = column, tuple(dict.fromkeys(names))
    elif not as_class and _is_yes_no(found):
        plan.attributes[name] = column
    elif as_class or _is_class(values, found, column):
        plan.classes[name] = column
        plan.class_values[name] = tuple(dict.fromkeys(str(value).strip() for value in sorted(found)))
    else:
        plan.extras[name] = column


def _is_yes_no(found: list[Any]) -> bool:
    return all(isinstance(value, bool) or (isinstance(value, int) and value in (0, 1, -1)) for value in found)


def _is_class(values: pa.ChunkedArray, found: list[Any], column: str) -> bool:
    if all(isinstance(value, str) for value in found):
        return len(found) <= min(MAX_CLASSES, max(2, len(values) // 2))
    return column.casefold() in CLASS_NAMES and all(isinstance(value, int) for value in found)


def _yes_no(value: Any, names: tuple[str, ...] | None) -> bool | None:
    if names is None:
        return None if value is None else value > 0
    name = _class_of(value, names)
    return None if name is None else name.casefold() in ("1", "yes", "true")


def _class_of(value: Any, names: tuple[str, ...] | None) -> str | None:
    if names is None:
        return _words(value)
    return None if value is None or value < 0 else names[value]


def _words(value: Any) -> str | None:
    return None if value is None else str(value).strip() or None


def _unique(values: pa.ChunkedArray) -> list[Any]:
    """The different values that are something; blank words are nothing."""
    found = [value for value in values.unique().to_pylist() if value is not None]
    return [value for value in found if not isinstance(value, str) or value.strip()]


def _type_of(feature: Any) -> str | None:
    if not isinstance(feature, Mapping):
        return None
    return feature.get("_type") or ("Image" if feature.get("dtype") == "image" else None)


def _pairs(names: Mapping[str, str]) -> str:
    return ", ".join(name if name == column else f"{name} from '{column}'" for name, column in names.items())
