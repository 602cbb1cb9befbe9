"""Class columns: named classes, or a yes/no attribute as two classes."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from facegen.errors import DataError, UsageError
from facegen.types import LabelSchema
from facegen.vocabulary.classes import attribute_classes, class_numbers, classes_of

LABELS = LabelSchema(attributes=("Smiling", "Male"), classes={"race": ("Asian", "Black")})


def test_a_class_column_has_its_own_classes_and_an_attribute_two() -> None:
    assert classes_of(LABELS, "race", "key") == ("Asian", "Black")
    assert classes_of(LABELS, "Smiling", "key") == attribute_classes("Smiling") == ("Not_Smiling", "Smiling")


def test_an_unknown_column_is_named_with_the_nearest_and_the_key() -> None:
    with pytest.raises(
        UsageError, match=r"task.class_column: .*'smilling'.*Did you mean 'Smiling'"
    ) as caught:
        classes_of(LABELS, "smilling", "task.class_column")
    assert "race, Smiling, Male" in str(caught.value)
    with pytest.raises(UsageError, match="no labels at all"):
        classes_of(LabelSchema(), "Smiling", "key")


def test_an_attributes_unknown_values_are_one_past_the_last_class() -> None:
    frame = pd.DataFrame({"Smiling": pd.array([1, 0, None, 1], dtype="Int8")})
    assert class_numbers(frame, "Smiling", attribute_classes("Smiling")).tolist() == [1, 0, 2, 1]


@pytest.mark.parametrize("dtype", [pd.StringDtype(), object, pd.CategoricalDtype()])
def test_class_names_become_numbers(dtype: Any) -> None:
    frame = pd.DataFrame({"race": pd.Series(["Black", None, "Asian"]).astype(dtype)})
    assert class_numbers(frame, "race", ("Asian", "Black")).tolist() == [1, 2, 0]


def test_strange_values_and_columns_are_data_errors() -> None:
    with pytest.raises(DataError, match="does not know: 2"):
        class_numbers(pd.DataFrame({"Smiling": [0, 2]}), "Smiling", attribute_classes("Smiling"))
    with pytest.raises(DataError, match="no class column 'race'"):
        class_numbers(pd.DataFrame({"Smiling": [0]}), "race", ("Asian",))
