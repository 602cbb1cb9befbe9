"""A "no" reaches as far as it is meant to, or the prompt is refused: nothing is turned round in silence."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from facegen.datasets._avatar_plain import ATTRIBUTES
from facegen.datasets.utkface import Config, UtkFace
from facegen.errors import UsageError
from facegen.progress import SilentProgress
from facegen.types import LabelSchema
from facegen.vocabulary.captions import captions_for
from facegen.vocabulary.phrases import inflected, words_of
from facegen.vocabulary.prompts import read_prompt
from facegen.vocabulary.words import ATTRIBUTE_WORDS
from facegen.vocabulary.words import CELEBA as CELEBA_LABELS

AVATARS = LabelSchema(ATTRIBUTES)
CELEBA = LabelSchema((*CELEBA_LABELS.attributes, "Red_Hair", "Dark_Skin", "Long_Hair"))
UTKFACE = LabelSchema((), {"age_group": ("Child", "Teenager", "Young_Adult", "Middle_Aged", "Senior")})
FACIAL_HAIR_AWAY = {"No_Beard": 1}


@pytest.mark.parametrize(
    ("prompt", "labels"),
    [
        (
            "a woman without lipstick, earrings or necklace",
            {"Male": -1, "Wearing_Lipstick": -1, "Wearing_Earrings": -1, "Wearing_Necklace": -1},
        ),
        ("no hat, glasses or beard", {"Wearing_Hat": -1, "Eyeglasses": -1, **FACIAL_HAIR_AWAY}),
        ("no hat, glasses and goatee", {"Wearing_Hat": -1, "Eyeglasses": -1, "Goatee": -1}),
        (
            "without a hat, a necktie, or an earring",
            {"Wearing_Hat": -1, "Wearing_Necktie": -1, "Wearing_Earrings": -1},
        ),
        ("without any glasses", {"Eyeglasses": -1}),
        ("w/o glasses", {"Eyeglasses": -1}),
        ("doesn't wear glasses", {"Eyeglasses": -1}),
        ("she does not have any bangs or wear a hat", {"Bangs": -1, "Wearing_Hat": -1}),
        ("a hat-less, smiling man", {"Wearing_Hat": -1, "Smiling": 1, "Male": 1}),
        ("beard-free man", {**FACIAL_HAIR_AWAY, "Male": 1}),
        ("a make-up-free young lady", {"Heavy_Makeup": -1, "Young": 1, "Male": -1}),
        ("non-smiling man with a hat", {"Smiling": -1, "Male": 1, "Wearing_Hat": 1}),
        ("neither smiling, bald nor chubby", {"Smiling": -1, "Bald": -1, "Chubby": -1}),
        ("no beard and wearing a hat", {**FACIAL_HAIR_AWAY, "Wearing_Hat": 1}),
        ("no hat, glasses", {"Wearing_Hat": -1, "Eyeglasses": 1}),
        (
            "no hat, smiling, with a goatee or glasses",
            {"Wearing_Hat": -1, "Smiling": 1, "Goatee": 1, "Eyeglasses": 1},
        ),
        (
            "no hat or glasses, smiling, blond or wavy hair",
            {"Wearing_Hat": -1, "Eyeglasses": -1, "Smiling": 1, "Blond_Hair": 1, "Wavy_Hair": 1},
        ),
        ("no hat, with bangs or sideburns", {"Wearing_Hat": -1, "Bangs": 1, "Sideburns": 1}),
        ("no hat but glasses", {"Wearing_Hat": -1, "Eyeglasses": 1}),
        ("no glasses, red lips, smiling", {"Eyeglasses": -1, "Wearing_Lipstick": 1, "Smiling": 1}),
        ("no hair or beard", {"Bald": 1, **FACIAL_HAIR_AWAY}),
        ("no black or brown hair", {"Black_Hair": -1, "Brown_Hair": -1}),
        (
            "rosy-cheeked, double-chinned, high-cheekboned",
            {"Rosy_Cheeks": 1, "Double_Chin": 1, "High_Cheekbones": 1},
        ),
        ("a big-nosed, oval-faced kid", {"Big_Nose": 1, "Oval_Face": 1, "Young": 1}),
        ("a 25 year old woman", {"Young": 1, "Male": -1}),
        ("a 70-year-old man without glasses", {"Young": -1, "Male": 1, "Eyeglasses": -1}),
        ("a man in his sixties", {"Male": 1, "Young": -1}),
        ("not very young", {"Young": -1}),
    ],
)
def test_prompts_are_read_as_they_are_meant(prompt: str, labels: dict[str, float]) -> None:
    reading = read_prompt(prompt, CELEBA)
    assert reading.labels == labels
    assert reading.not_understood == ()


@pytest.mark.parametrize(
    ("prompt", "left_out"),
    [
        ("without round glasses", "without round glasses"),
        ("hardly smiling", "hardly smiling"),
        ("anything but a hat", "anything but hat"),
        ("middle-aged", "middle aged"),
        ("no longer bald", "no longer bald"),
        ("not without glasses", "not without glasses"),
        ("glasses: no", "glasses no"),
        ("hat removed", "hat removed"),
        ("not a young man", "not young man"),
        ("hardly any hat, glasses or earrings", "hardly earrings"),
    ],
)
def test_what_may_turn_a_sense_takes_its_phrase_along(prompt: str, left_out: str) -> None:
    reading = read_prompt(prompt, CELEBA)
    assert reading.labels == {}
    assert left_out in reading.not_understood


@pytest.mark.parametrize(
    "prompt",
    [
        "no hat and blond hair",
        "not young and smiling",
        "without a hat and a necklace",
        "not smiling, wearing a hat or glasses",
        "without glasses, smiling or bald",
    ],
)
def test_a_list_that_can_be_read_either_way_is_refused_with_both(prompt: str) -> None:
    with pytest.raises(UsageError, match="can be read in two ways") as refusal:
        read_prompt(prompt, CELEBA)
    away, there = (read_prompt(said, CELEBA).labels for said in str(refusal.value.hint).split('"')[1:4:2])
    assert set(away.values()) == {-1}
    assert set(there.values()) == {1, -1}


@pytest.mark.parametrize(
    ("age", "group"),
    [
        ("5 years old", "Child"),
        ("aged 16", "Teenager"),
        ("30 yo", "Young_Adult"),
        ("a 45-year-old", "Middle_Aged"),
        ("in her seventies", "Senior"),
        ("a fifty-two year old", "Middle_Aged"),
    ],
)
def test_ages_in_numbers_are_groups(age: str, group: str) -> None:
    assert read_prompt(age, UTKFACE).labels == {f"age_group={group}": 1}


def test_an_age_that_is_neither_young_nor_old_is_left_out() -> None:
    assert read_prompt("a 45 year old", CELEBA).not_understood == ("45 years old",)


THINGS = {
    "hat": "Wearing_Hat",
    "glasses": "Eyeglasses",
    "earrings": "Wearing_Earrings",
    "lipstick": "Wearing_Lipstick",
    "necklace": "Wearing_Necklace",
    "goatee": "Goatee",
    "sideburns": "Sideburns",
    "bangs": "Bangs",
}
OTHERS = {
    "smiling": "Smiling",
    "bald": "Bald",
    "chubby": "Chubby",
    "young": "Young",
    "blond hair": "Blond_Hair",
    "a big nose": "Big_Nose",
    "rosy-cheeked": "Rosy_Cheeks",
    "with wavy hair": "Wavy_Hair",
    "attractive": "Attractive",
}
OPENERS = ("no", "without", "without any", "not wearing", "doesn't have", "lacking", "with no", "never wears")
SAFE = ("negation", "list", "suffix", "positive")


def clause(chance: random.Random, free: list[str], others: list[str]) -> tuple[str, dict[str, float]]:
    """A part of a prompt and its meaning, of labels that no other part has."""
    kind = chance.choice(SAFE)
    if kind == "positive" or len(free) < 4:
        word = others.pop()
        return word, {OTHERS[word]: 1.0}
    if kind == "suffix":
        thing = free.pop()
        return f"{thing}-{chance.choice(['less', 'free'])}", {THINGS[thing]: -1.0}
    count = 1 if kind == "negation" else chance.randint(2, 3)
    things = [free.pop() for _ in range(count)]
    articles = [chance.choice(["", "a "]) if kind == "list" else "" for _ in things]
    joint = chance.choice([" or ", " nor ", ", or "])
    if not any(articles):
        joint = chance.choice([joint, " and ", " and "])
    members = [f"{article}{thing}" for article, thing in zip(articles, things, strict=True)]
    said = members[0] if count == 1 else f"{', '.join(members[:-1])}{joint}{members[-1]}"
    return f"{chance.choice(OPENERS)} {said}", dict.fromkeys((THINGS[thing] for thing in things), -1.0)


@pytest.mark.slow
def test_5000_prompts_with_known_meaning_are_right_or_refused() -> None:
    chance, results = random.Random(0), Counter[str]()
    for _ in range(5000):
        free, others = [*THINGS], [*OTHERS]
        chance.shuffle(free)
        chance.shuffle(others)
        parts = [clause(chance, free, others) for _ in range(chance.randint(1, 4))]
        prompt = chance.choice([", ", "; ", ". "]).join(said for said, _ in parts)
        meant = {label: value for _, meaning in parts for label, value in meaning.items()}
        try:
            reading = read_prompt(prompt, CELEBA)
        except UsageError:
            results["refused"] += 1
            continue
        turned = {label for label, value in reading.labels.items() if meant.get(label) != value}
        assert not turned, (prompt, turned)
        if reading.labels == meant:
            results["right"] += 1
        else:
            assert reading.not_understood, prompt
            results["in part"] += 1
    assert results["right"] > 4800, results


def captions_of(number: int, names: list[str], values: list[str]) -> list[tuple[str, dict[str, bool | None]]]:
    row: dict[str, bool | None] = {name: value == "1" for name, value in zip(names, values, strict=True)}
    return [(said, row) for said in captions_for(row, {}, f"{number:06d}.jpg")]


@pytest.mark.real_faces
@pytest.mark.parametrize("step", [50, pytest.param(1, marks=pytest.mark.slow)], ids=["a fiftieth", "all"])
def test_captions_of_real_celeba_labels_read_back_as_those(real_faces: Path, step: int) -> None:
    _, names, *rows = (real_faces / "celeba" / "list_attr_celeba.txt").read_text("utf-8").splitlines()
    schema = LabelSchema(tuple(names.split()))
    for number, line in enumerate(rows[::step]):
        for said, row in captions_of(number, names.split(), line.split()[1:]):
            reading = read_prompt(said, schema)
            assert reading.not_understood == ()
            assert all(row[label] == (value > 0) for label, value in reading.labels.items()), said


@pytest.mark.slow
@pytest.mark.real_faces
def test_captions_of_real_utkface_labels_read_back_as_those(real_faces: Path) -> None:
    adapter = UtkFace(Config())
    records = adapter.records(real_faces / "utkface" / "UTKFace.tar.gz", SilentProgress())
    for record in records:
        meant = {f"{column}={name}": 1 for column, name in record.classes.items()}
        meant["Male"] = 1 if record.attributes["Male"] else -1
        for said in captions_for(record.attributes, record.classes, record.id):
            reading = read_prompt(said, adapter.labels)
            assert reading.not_understood == ()
            assert all(meant.get(label) == value for label, value in reading.labels.items()), said


@pytest.mark.slow
def test_every_caption_reads_back_as_the_labels_it_was_made_of() -> None:
    chance = random.Random(0)
    for schema in (CELEBA, AVATARS):
        for number in range(500):
            row: dict[str, bool | None] = {name: chance.random() < 0.3 for name in schema.attributes}
            for said in captions_for(row, {}, f"face-{number}"):
                for label, value in read_prompt(said, schema).labels.items():
                    assert row[label] == (value > 0), (said, label)


FORMS = sorted(
    {
        (name, " ".join(form))
        for name, words in ATTRIBUTE_WORDS.items()
        for said in (words.caption, *words.asks)
        for form in (words_of(said), *inflected(words_of(said)))
    }
)


@pytest.mark.parametrize("name", sorted(ATTRIBUTE_WORDS))
def test_every_form_of_a_label_asks_for_it_and_never_for_its_opposite(name: str) -> None:
    schema = LabelSchema((name,))
    for form in [form for label, form in FORMS if label == name]:
        assert read_prompt(form, schema).labels == {name: 1}, form
        assert read_prompt(form.replace(" ", "-"), schema).labels == {name: 1}, form
        for negation in ("no", "without any", "isn't", "doesn't have"):
            labels = read_prompt(f"{negation} {form}", schema).labels
            assert labels in ({name: -1}, {}), (negation, form)
