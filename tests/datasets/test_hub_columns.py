"""What columns of a hub data set mean, and which split a file belongs to."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from facegen.datasets._hub_columns import ColumnPlan, features_of
from facegen.datasets._hub_files import split_of

LABELS = {"names": ["Asian", "Black", "White"], "_type": "ClassLabel"}
FEATURES = {"image": {"_type": "Image"}, "label": LABELS}


def values(plan: ColumnPlan) -> dict[str, tuple[str, ...]]:
    return {name: plan.readings[name].values for name in plan.classes}


def test_columns_are_told_apart_by_type_and_values() -> None:
    columns = {
        "photo": pa.array([b"x"] * 4),
        "yes": [True, None, False, True],
        "sign": [1, -1, -1, 1],
        "race": ["A", "B", "A", " "],
        "label": [3, 5, 3, 5],
        "score": [0.0, 1.0, 1.0, 0.5],
        "count": [0, 1, 2, 2],
        "url": ["a", "b", "c", "d"],
        "vector": [[1.0], [2.0], [3.0], [4.0]],
        "nothing": pa.array([None] * 4, pa.string()),
        "": [1, 0, 1, 0],
        "identity": pa.array([None] * 4, pa.string()),
    }
    table = pa.table(columns)
    labels = table.drop_columns(["photo", "vector"])
    plan = ColumnPlan(table.schema, labels, {}, {})
    assert plan.roles == {"image": "photo"}
    assert plan.attributes == {"yes": "yes", "sign": "sign"}
    assert values(plan) == {"race": ("A", "B"), "label": ("3", "5")}
    assert set(plan.extras) == {"score", "count", "url"}
    assert set(plan.left_out) == {"vector", "nothing", "identity", ""}
    assert ColumnPlan(table.schema, labels, {}, {"count": "kind"}).extras["kind"] == "count"
    forced = ColumnPlan(table.schema, labels, {}, {"count": "class:kind", "yes": "class:glad"})
    assert values(forced) == {**values(plan), "kind": ("0", "1", "2"), "glad": ("False", "True")}


def test_three_values_mean_that_zero_is_undecided() -> None:
    table = pa.table({"image": pa.array([b"x"] * 3), "Smiling": [1, 0, -1], "Bald": ["yes", "no", "NaN"]})
    plan = ColumnPlan(table.schema, table.drop_columns(["image"]), {}, {})
    read = [plan.labels_of(row, None)["attributes"] for row in table.to_pylist()]
    assert [row["Smiling"] for row in read] == [True, None, False]
    assert [row["Bald"] for row in read] == [True, False, None]


def test_class_names_come_from_the_schema_or_the_readme() -> None:
    card = {
        "dataset_info": {
            "features": [
                {"name": "image", "dtype": "image"},
                {"name": "label", "dtype": {"class_label": {"names": {"0": "cat", "1": "dog"}}}},
            ]
        }
    }
    assert features_of(card, None, pa.schema([])) == {"image": "Image", "label": ("cat", "dog")}
    features = {**FEATURES, "age": {"_type": "Value", "dtype": "int64"}, "boxes": [{"_type": "Value"}]}
    schema = pa.schema([], {"huggingface": json.dumps({"info": {"features": features}})})
    told = {"image": "Image", "label": ("Asian", "Black", "White"), "age": None}
    assert features_of({}, None, schema) == features_of(card, None, schema) == told
    assert features_of({}, None, pa.schema([], {"huggingface": "{}"})) == {}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00002.parquet", "train"),
        ("data/val-00000-of-00001.parquet", "validation"),
        ("default/partial-train/0000.parquet", "train"),
        ("valid.parquet", "validation"),
        ("test/part.0.parquet", "test"),
        ("data/faces.parquet", None),
        ("constraint/a.parquet", None),
    ],
)
def test_splits_are_read_from_file_names(name: str, split: str | None) -> None:
    assert split_of(name) == split
