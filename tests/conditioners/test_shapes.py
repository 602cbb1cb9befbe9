"""A wrong shape is caught where a conditioner is given it: one planted in every module."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from jaxtyping import TypeCheckError
from support.draws import draws_of

from facegen.conditioners import attributes, class_label, image_features, none, semantic_encoder, text
from facegen.conditioners._image_encoder import ImageEncoder
from facegen.conditioners._text_encoder import TextEncoder
from facegen.types import LabelSchema, SampleSpec

LABELS = LabelSchema(("Smiling", "Young"), {"age": ("child", "adult")})
PIXELS, CHANCE = torch.zeros(4, 3, 8, 8, dtype=torch.uint8), draws_of(4)
MAPS, COLUMN = torch.zeros(4, 4, 8, 8), torch.zeros(4, 1, dtype=torch.int64)


def built(kind: Any, **options: Any) -> Any:
    return kind.build(kind.Config(**options), LABELS, SampleSpec((4, 8, 8)))


def encoder(width: int) -> ImageEncoder:
    """Of 5 features, it says; it gives `width`."""
    return ImageEncoder("", "", 5, lambda images: torch.zeros(len(images), width))


def narrow_text_encoder() -> TextEncoder:
    """Its network gives tokens of width 1, which would spread over the 16 that its configuration says."""
    made = object.__new__(TextEncoder)
    answer = SimpleNamespace(last_hidden_state=torch.ones(1, 2, 1))
    made.max_tokens, made.token_dim, made.pad = 2, 16, False
    made.tokenizer = Mock(return_value={"input_ids": [[1, 2]]}, pad_token_id=0)
    made.model = Mock(return_value=answer, device="cpu")
    return made


PICTURES, FEATURES = built(semantic_encoder), built(image_features, encoder="of/some", feature_dim=5)
ATTRIBUTES, CLASS, TEXT = built(attributes), built(class_label), built(text, encoder="of/some")
PLANTED: dict[str, Callable[[], object]] = {
    "image encoder: one picture without a batch": lambda: encoder(5)(PIXELS[0]),
    "image encoder: pictures of floats": lambda: encoder(5)(PIXELS.float()),
    "image encoder: fewer features than it says": lambda: encoder(1)(PIXELS),
    "text encoder: a network narrower than it says": lambda: narrow_text_encoder().embed(["a face"]),
    "pictures: a number instead of rows": lambda: PICTURES.drop(torch.tensor(1.0), CHANCE),
    "pictures: rows that cannot be NaN": lambda: PICTURES.drop(MAPS.long(), CHANCE),
    "attributes: one for all": lambda: ATTRIBUTES(torch.ones(4, 1)),
    "attributes: a row without a batch": lambda: ATTRIBUTES.drop(torch.ones(2), CHANCE),
    "class label: a column of numbers": lambda: CLASS(COLUMN),
    "class label: a column of numbers to drop": lambda: CLASS.drop(COLUMN, CHANCE),
    "image features: maps instead of vectors": lambda: FEATURES(torch.zeros(4, 5, 5)),
    "image features: pictures of floats": lambda: FEATURES.inputs_of_images(PIXELS.float()),
    "none: labels": lambda: built(none)(torch.ones(4, 2)),
    "semantic encoder: one sample without a batch": lambda: PICTURES.inputs_of(MAPS[0]),
    "text: numbers without a column": lambda: TEXT(COLUMN[:, 0]),
    "text: numbers to drop without a column": lambda: TEXT.drop(COLUMN[:, 0], CHANCE),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_wrong_shape_is_caught(name: str) -> None:
    with pytest.raises(TypeCheckError):
        PLANTED[name]()
