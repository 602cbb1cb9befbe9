from __future__ import annotations

import pytest

from facegen.datasets._avatar_plain import ATTRIBUTES
from facegen.datasets._avatar_rich import ATTRIBUTES as RICH_ATTRIBUTES
from facegen.errors import UsageError
from facegen.types import LabelSchema
from facegen.vocabulary.prompts import read_attributes, read_prompt
from facegen.vocabulary.words import ATTRIBUTE_WORDS
from facegen.vocabulary.words import CELEBA as CELEBA_LABELS

AVATARS = LabelSchema(ATTRIBUTES)
RICH = LabelSchema(RICH_ATTRIBUTES)
CELEBA = LabelSchema((*CELEBA_LABELS.attributes, "Red_Hair", "Dark_Skin", "Long_Hair"))
UTKFACE = LabelSchema(
    ("Male",),
    {"race": ("White", "Black", "Asian"), "age_group": ("Child", "Young_Adult", "Senior")},
)
UTKFACE_AND_HATS = LabelSchema(("Male", "Smiling", "Wearing_Hat", "Young"), UTKFACE.classes)


@pytest.mark.parametrize(
    ("prompt", "labels"),
    [
        ("a smiling woman with blond hair", {"Smiling": 1, "Male": -1, "Blond_Hair": 1}),
        ("blonde man, not smiling", {"Blond_Hair": 1, "Male": 1, "Smiling": -1}),
        ("a photo of a person without a hat", {"Wearing_Hat": -1}),
        ("no glasses", {"Eyeglasses": -1}),
        ("no glasses or hat", {"Eyeglasses": -1, "Wearing_Hat": -1}),
        ("no glasses and smiling", {"Eyeglasses": -1, "Smiling": 1}),
        ("isn't smiling", {"Smiling": -1}),
        ("neither smiling nor wearing a hat", {"Smiling": -1, "Wearing_Hat": -1}),
        ("not wearing a hat, smiling", {"Wearing_Hat": -1, "Smiling": 1}),
        ("a bearded lady", {"No_Beard": -1, "Male": -1}),
        ("wavy black hair", {"Wavy_Hair": 1, "Black_Hair": 1}),
        ("WAVY, black-haired guy!", {"Wavy_Hair": 1, "Black_Hair": 1, "Male": 1}),
        ("an old man", {"Young": -1, "Male": 1}),
        ("five o'clock shadow", {"5_o_Clock_Shadow": 1}),
    ],
)
def test_prompts_of_photographs_are_read(prompt: str, labels: dict[str, float]) -> None:
    reading = read_prompt(prompt, CELEBA)
    assert reading.labels == labels
    assert reading.not_understood == ()


def test_clean_shaven_means_all_facial_hair_is_absent() -> None:
    assert read_prompt("clean-shaven", AVATARS).labels == {"Beard": -1, "Mustache": -1}
    assert read_prompt("clean-shaven", CELEBA).labels == {"No_Beard": 1, "Mustache": -1, "Goatee": -1}


def test_man_and_woman_are_not_understood_where_nothing_says_male() -> None:
    reading = read_prompt("a smiling woman with long red hair", AVATARS)
    assert reading.labels == {"Smiling": 1, "Red_Hair": 1, "Long_Hair": 1}
    assert reading.not_understood == ("woman",)


def test_unknown_words_are_returned_and_fillers_are_not() -> None:
    reading = read_prompt("a picture of a person with a pink unicorn, smiling", AVATARS)
    assert reading.not_understood == ("pink", "unicorn")
    assert reading.understood == (("smiling", "Smiling=1"),)


def test_words_behind_each_label_are_shown_with_their_negation() -> None:
    assert read_prompt("without sunglasses", AVATARS).understood == (("without sunglasses", "Sunglasses=0"),)


def test_sunglasses_count_as_glasses_where_one_label_holds_both() -> None:
    assert read_prompt("sunglasses", CELEBA).labels == {"Eyeglasses": 1}
    without = read_prompt("no sunglasses", CELEBA)
    assert without.labels == {}
    assert without.not_understood == ("no sunglasses",)


def test_class_names_become_class_values() -> None:
    reading = read_prompt("an elderly Asian woman", UTKFACE)
    assert reading.labels == {"age_group=Senior": 1, "race=Asian": 1, "Male": -1}


def test_black_hair_is_not_a_race() -> None:
    reading = read_prompt("black hair", UTKFACE)
    assert reading.labels == {}
    assert reading.not_understood == ("black hair",)


def test_a_contradiction_is_refused() -> None:
    with pytest.raises(UsageError, match="Smiling=1 and, by 'not smiling', for Smiling=0"):
        read_prompt("smiling, not smiling", AVATARS)


@pytest.mark.parametrize("name", sorted(ATTRIBUTE_WORDS))
def test_every_caption_phrase_reads_back_as_its_own_label(name: str) -> None:
    reading = read_prompt(ATTRIBUTE_WORDS[name].caption, LabelSchema((name,)))
    assert reading.labels == {name: 1}
    assert reading.not_understood == ()


def test_attributes_of_ones_own_are_asked_for_by_name() -> None:
    assert read_prompt("with a face mask", LabelSchema(("Face_Mask",))).labels == {"Face_Mask": 1}


def test_attribute_lists_are_read() -> None:
    reading = read_attributes("smiling=1, Wearing_Hat=no,Bald", AVATARS)
    assert reading.labels == {"Smiling": 1, "Wearing_Hat": -1, "Bald": 1}
    assert read_attributes("race=asian", UTKFACE).labels == {"race=Asian": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Eyeglases=1", "Did you mean 'Eyeglasses'"),
        ("Smiling=2", "1 .yes. or 0 .no."),
        ("Smiling=1,smiling=0", "given twice"),
    ],
)
def test_wrong_attribute_lists_are_explained(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_attributes(text, AVATARS)


def test_unknown_class_value_is_explained() -> None:
    with pytest.raises(UsageError, match=r"'race' has no class 'Asien'. Did you mean 'Asian'"):
        read_attributes("race=Asien", UTKFACE)


@pytest.mark.parametrize(
    ("prompt", "labels"),
    [
        ("smiling, round glasses, blond hair", {"Smiling": 1, "Round_Glasses": 1, "Blond_Hair": 1}),
        ("a red hat", {"Wearing_Hat": 1, "Red_Hat": 1}),
        ("wearing a green beanie", {"Winter_Hat": 1, "Green_Hat": 1}),
        ("a black hoodie", {"Hoodie": 1, "Black_Clothes": 1}),
        ("a blue t-shirt", {"Blue_Clothes": 1}),
        ("heart-shaped eyes", {"Heart_Eyes": 1}),
        ("no beanie, not sad", {"Winter_Hat": -1, "Frowning": -1}),
        ("a black eye patch, a black top hat", {"Eyepatch": 1, "Wearing_Hat": 1, "Black_Hat": 1}),
        ("wide-eyed, tongue out", {"Wide_Eyes": 1, "Tongue_Out": 1}),
        ("sad and crying", {"Frowning": 1, "Crying": 1}),
        ("long pink hair, winking", {"Long_Hair": 1, "Pink_Hair": 1, "Winking": 1}),
        ("a hijab, raised eyebrows", {"Hijab": 1, "Raised_Eyebrows": 1}),
        ("no hoodie, not angry", {"Hoodie": -1, "Angry_Eyebrows": -1}),
        ("an eye patch and dungarees", {"Eyepatch": 1, "Overalls": 1}),
    ],
)
def test_the_rich_avatars_are_asked_for_in_everyday_words(prompt: str, labels: dict[str, int]) -> None:
    reading = read_prompt(prompt, RICH)
    assert reading.labels == labels
    assert reading.not_understood == ()


@pytest.mark.parametrize(
    "prompt",
    ["a white collared shirt", "a black winter hat", "a white veil", "an old woolly hat", "black hoodies"],
)
def test_the_colour_and_age_of_what_is_worn_say_nothing_of_the_person(prompt: str) -> None:
    labels = read_prompt(f"smiling, in {prompt}", UTKFACE_AND_HATS).labels
    assert not [label for label in labels if label.startswith(("race", "age", "Young"))]


def test_no_kind_of_hat_takes_away_all_hats_where_kinds_have_no_label() -> None:
    assert read_prompt("smiling, no winter hat", CELEBA).labels == {"Smiling": 1}
    assert read_prompt("smiling, no beanie", CELEBA).labels == {"Smiling": 1, "Wearing_Hat": -1}


def test_of_a_coloured_thing_only_what_has_a_label_is_read() -> None:
    reading = read_prompt("a black hat", CELEBA)
    assert reading.labels == {"Wearing_Hat": 1}
    assert reading.not_understood == ("black",)


def test_a_misspelt_word_is_told_with_the_nearest_that_is_known() -> None:
    reading = read_prompt("smiling, a beerd, an astronaut", RICH)
    assert reading.nearest == {"beerd": "beard"}
    assert reading.left_over == "'beerd' (the nearest known: 'beard'), 'astronaut'"
    assert read_prompt("smiling, a beerd", LabelSchema(("Smiling",))).nearest == {}
