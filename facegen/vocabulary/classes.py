"""Class columns of a data set: named classes, or a yes/no attribute as two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from facegen.errors import DataError, UsageError, did_you_mean
from facegen.types import LabelSchema

if TYPE_CHECKING:
    import pandas as pd

ABSENT = "Not_"


def classes_of(labels: LabelSchema, column: str, key: str) -> tuple[str, ...]:
    """Names of the classes in `column`; an attribute X has two, `Not_X` and `X`.

    `key` is the recipe's key that named the column, for the error.

    Raises:
        UsageError: the data has no such class column or attribute.
    """
    if column in labels.classes:
        return labels.classes[column]
    if column in labels.attributes:
        return attribute_classes(column)
    known = (*labels.classes, *labels.attributes)
    raise UsageError(
        f"{key}: the data has no class column '{column}'.{did_you_mean(column, known)}",
        hint=f"It has: {', '.join(known) or 'no labels at all'}.",
    )


def attribute_classes(attribute: str) -> tuple[str, str]:
    """Names of the two classes that a yes/no attribute makes: absent, present."""
    return f"{ABSENT}{attribute}", attribute


def class_numbers(frame: pd.DataFrame, column: str, classes: tuple[str, ...]) -> Tensor:
    """Class numbers (N,) int64 of a column of class names or of a yes/no attribute (1, 0).

    A missing value is `len(classes)`, one past the last.

    Raises:
        DataError: no such column, or a class that is not among `classes`.
    """
    if column not in frame.columns:
        raise DataError(f"The data has no class column '{column}'.")
    values = frame[column].astype(object)
    named = {name: number for number, name in enumerate(classes)}
    numbers = values.map({0: 0, 1: 1} if classes == attribute_classes(column) else named)
    unknown = sorted(set(values[values.notna() & numbers.isna()].map(str)))
    if unknown:
        raise DataError(
            f"Column '{column}' has classes the model does not know: {', '.join(unknown)}.",
            hint=f"It knows: {', '.join(classes)}.",
        )
    return torch.from_numpy(numbers.astype("float64").fillna(len(classes)).to_numpy("int64"))
