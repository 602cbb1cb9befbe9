from __future__ import annotations

from facegen.datasets._avatar_plain import ATTRIBUTES, draw
from facegen.types import LabelSchema
from facegen.vocabulary.captions import MAX_PHRASES, captions_for
from facegen.vocabulary.prompts import read_prompt
from facegen.vocabulary.words import ATTRIBUTE_WORDS


def test_labels_are_said_in_plain_english() -> None:
    labels = {"Male": False, "Young": True, "Blond_Hair": True, "Smiling": True, "Bald": None}
    first, *_ = captions_for(labels, {}, "1")
    assert first == "A photo of a young woman with blond hair, smiling"


def test_cartoons_are_called_so_and_have_no_sex() -> None:
    first, *_ = captions_for({"Gray_Hair": True, "Long_Hair": True}, {}, "1", medium="cartoon")
    assert first == "A cartoon of a person with long gray hair"


def test_phrasings_differ_and_are_the_same_every_time() -> None:
    labels = draw(0, 0).attributes
    captions = captions_for(labels, {}, "avatar-000000")
    assert 3 <= len(set(captions)) == len(captions) <= 4
    assert captions == captions_for(labels, {}, "avatar-000000")


def test_classes_of_age_race_and_gender_are_said() -> None:
    first, *_ = captions_for({}, {"gender": "Female", "race": "Asian", "age_group": "Senior"}, "1")
    assert first == "A photo of a senior Asian woman"
    first, *_ = captions_for({}, {"gender": "Male", "race": "Others", "age_group": "Child"}, "1")
    assert first == "A photo of a boy"


def test_what_is_unknown_is_neither_said_nor_denied() -> None:
    captions = captions_for(dict.fromkeys(ATTRIBUTES), {}, "1")
    assert all(caption.rstrip(": ").casefold().endswith("person") for caption in captions)


def test_captions_say_nothing_that_the_labels_do_not() -> None:
    schema = LabelSchema(ATTRIBUTES)
    for index in range(40):
        labels = draw(3, index).attributes
        for caption in captions_for(labels, {}, str(index), medium="cartoon"):
            reading = read_prompt(caption, schema)
            assert reading.not_understood == ()
            assert all(labels[name] == (value > 0) for name, value in reading.labels.items()), caption


def test_not_everything_is_said_at_once() -> None:
    first, *_ = captions_for(dict.fromkeys(ATTRIBUTE_WORDS, True), {}, "1")
    said = [name for name, words in ATTRIBUTE_WORDS.items() if words.caption in first]
    assert len(said) <= MAX_PHRASES + 2  # a phrase may contain another
