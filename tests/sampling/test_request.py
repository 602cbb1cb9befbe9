"""Which options of `facegen sample` fit a model, as its conditioner says, or as its looks tell."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.generator_parts import tiny_generator, tiny_recipe

from facegen.errors import UsageError
from facegen.models.generator import FaceGenerator
from facegen.sampling.request import asking_of, check_takes


def from_elsewhere(**conditioner: Any) -> FaceGenerator:
    """A generator whose conditioner, of another package, does not say how it is asked."""
    generator = tiny_generator()
    told: Any = SimpleNamespace(**conditioner)
    generator.conditioner = told
    return generator


def test_a_model_refuses_what_its_conditioner_does_not_take() -> None:
    generator = tiny_generator(tiny_recipe("class_label"))
    check_takes(generator, "class")
    with pytest.raises(UsageError, match="--attributes does not fit this model: it was trained on classes"):
        check_takes(generator, "attributes")


def test_a_conditioner_from_elsewhere_is_told_by_its_looks() -> None:
    plain = from_elsewhere()
    assert asking_of(plain).options == ("prompt", "negative", "blend")
    named = from_elsewhere(attributes=("Smiling",), classes=("old", "young"))
    assert asking_of(named).options == ("prompt", "negative", "blend", "attributes", "class")
    check_takes(plain, "like")  # it judges for itself


def test_its_own_word_counts_more_than_its_looks() -> None:
    asking = asking_of(tiny_generator(tiny_recipe("none")))
    told = from_elsewhere(attributes=("Smiling",), asking=asking)
    assert asking_of(told) is asking
