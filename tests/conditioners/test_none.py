import pytest

from facegen.conditioners import none
from facegen.errors import UsageError
from facegen.types import LabelSchema, PromptReading, SampleSpec

SAMPLE = SampleSpec((4, 8, 8))


def test_an_unconditional_model_says_so_when_asked_for_something() -> None:
    conditioner = none.build(none.Config(), LabelSchema(attributes=("Smiling",)), SAMPLE)
    reading = conditioner.read("a smile")
    assert reading.not_understood == ("a", "smile")
    assert conditioner.inputs_from(reading).shape == (1, 0)
    with pytest.raises(UsageError, match="unconditional and cannot be asked for Smiling"):
        conditioner.inputs_from(PromptReading({"Smiling": 1.0}))
