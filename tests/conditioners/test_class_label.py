from typing import Any

import pandas as pd
import pytest
import torch
from support.draws import draws_of

from facegen.conditioners import class_label
from facegen.errors import DataError, UsageError
from facegen.types import Conditioning, LabelSchema, PromptReading, SampleSpec

SAMPLE = SampleSpec((4, 8, 8))

CLASSES = {"age_group": ("child", "adult", "old age"), "race": ("Asian", "Black")}


def build(column: str | None = "age_group", **options) -> class_label.ClassLabelConditioner:
    config = class_label.Config(column=column, **{"dim": 8, **options})
    return class_label.build(config, LabelSchema(classes=CLASSES), SAMPLE)


@pytest.mark.parametrize("dtype", ["string", "object", "category"])
def test_classes_become_numbers_and_missing_ones_the_null_class(dtype: Any) -> None:
    frame = pd.DataFrame({"age_group": pd.Series(["old age", None, "child"]).astype(dtype)})
    assert build().inputs(frame).tolist() == [2, 3, 0]


def test_strangers_in_the_column_are_named() -> None:
    with pytest.raises(DataError, match="does not know: baby"):
        build().inputs(pd.DataFrame({"age_group": ["child", "baby"]}))
    with pytest.raises(DataError, match="no class column 'age_group'"):
        build().inputs(pd.DataFrame({"race": ["Asian"]}))


def test_the_column_must_be_clear() -> None:
    assert class_label.build(class_label.Config(), LabelSchema(classes={"a": ("x",)}), SAMPLE).column == "a"
    with pytest.raises(UsageError, match="several class columns: age_group, race"):
        build(column=None)
    with pytest.raises(UsageError, match="Did you mean 'race'"):
        build(column="rase")
    with pytest.raises(UsageError, match="this data has none"):
        class_label.build(class_label.Config(), LabelSchema(attributes=("Smiling",)), SAMPLE)


def test_class_names_are_read_from_a_prompt() -> None:
    conditioner = build()
    reading = conditioner.read("a photo of a Child in a garden")
    assert conditioner.inputs_from(reading).tolist() == [0]
    assert "garden" in reading.not_understood
    assert conditioner.inputs_from(conditioner.read("old age")).tolist() == [2]
    assert conditioner.inputs_from(PromptReading({"adult": 1.0, "age_group=adult": 1.0})).tolist() == [1]
    assert not conditioner.read("not a child").labels


def test_a_request_that_is_not_one_class_is_refused() -> None:
    conditioner = build()
    for labels, said in (
        ({"chld": 1.0}, "Did you mean 'child'"),
        ({"child": 1.0, "adult": 1.0}, "one class at a time"),
        ({"child": -1.0}, "not asked away"),
    ):
        with pytest.raises(UsageError, match=said):
            conditioner.inputs_from(PromptReading(labels))


def test_two_classes_blend() -> None:
    conditioner = build()
    child, adult = conditioner(torch.tensor([0])), conditioner(torch.tensor([1]))
    blend = Conditioning.mix([child, adult], torch.tensor([[0.75, 0.25]]))
    assert blend.vector is not None
    assert torch.allclose(blend.vector, 0.75 * child.vector + 0.25 * adult.vector)


def test_dropout_gives_the_null_class_at_its_rate() -> None:
    dropped = build(dropout=0.3).drop(torch.zeros(20_000, dtype=torch.int64), draws_of(20_000))
    assert set(dropped.tolist()) == {0, 3}
    assert abs((dropped == 3).float().mean() - 0.3) < 0.01


def smiling(**options) -> class_label.ClassLabelConditioner:
    config = class_label.Config(column="Smiling", dim=8, **options)
    return class_label.build(config, LabelSchema(attributes=("Smiling", "Male"), classes=CLASSES), SAMPLE)


def test_an_attribute_is_two_classes_and_unknown_is_the_null_class() -> None:
    conditioner = smiling()
    assert conditioner.classes == ("Not_Smiling", "Smiling")
    frame = pd.DataFrame({"Smiling": pd.array([1, 0, None], dtype="Int8")})
    assert conditioner.inputs(frame).tolist() == [1, 0, 2]
    assert conditioner.null_inputs(1).tolist() == [2]


def test_an_attribute_is_asked_for_by_class_name_or_in_words() -> None:
    conditioner = smiling()
    for name, number in (("Smiling", 1), ("Not_Smiling", 0)):
        assert conditioner.inputs_from(PromptReading({name: 1.0})).tolist() == [number]
    assert conditioner.inputs_from(PromptReading({"Smiling": -1.0})).tolist() == [0]
    assert conditioner.inputs_from(conditioner.read("a smiling face")).tolist() == [1]
    assert conditioner.inputs_from(conditioner.read("not smiling")).tolist() == [0]
    assert conditioner.inputs_from(conditioner.read("a face")).tolist() == [2]
    with pytest.raises(UsageError, match=r"no class 'Smiling_'.*Did you mean 'Smiling'"):
        conditioner.inputs_from(PromptReading({"Smiling_": 1.0}))


def test_without_class_columns_the_remedy_names_an_attribute() -> None:
    with pytest.raises(UsageError, match=r"this data has none[\s\S]*conditioner.column=Smiling"):
        class_label.build(class_label.Config(), LabelSchema(attributes=("Smiling",)), SAMPLE)
