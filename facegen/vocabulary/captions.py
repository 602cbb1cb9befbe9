"""Captions written from labels: several phrasings, the same ones every time for the same image."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from facegen.vocabulary.words import ATTRIBUTE_WORDS, ROLES, attribute_words, spoken

MAX_PHRASES = 6  # more would outgrow what a reader, or a text encoder, takes in
_UNSAID_BESIDE = {  # said only where none of the others is there
    "Mustache": ("Beard",),
    "Eyeglasses": ("Sunglasses", "Round_Glasses"),
    "Wearing_Hat": ("Winter_Hat", "Red_Hat", "Blue_Hat", "Yellow_Hat", "Green_Hat", "Black_Hat"),
    "No_Beard": ("Mustache", "Goatee"),  # "clean-shaven" would deny them
}
_WORTH_DENYING = ("Smiling", "Eyeglasses", "Wearing_Hat", "Beard", "Mustache")
_AGE_NOUNS = {
    ("Child", "Male"): "boy",
    ("Child", "Female"): "girl",
    ("Teenager", "Male"): "teenage boy",
    ("Teenager", "Female"): "teenage girl",
}


def captions_for(
    attributes: Mapping[str, bool | None],
    classes: Mapping[str, str | None],
    id: str,
    *,
    medium: str = "photo",
) -> list[str]:
    """Up to four phrasings of the labels, such as "A photo of a young woman with blond hair, smiling".

    Labels that are False or unknown are left out, but for one phrasing that denies something visible
    ("not smiling"). `id` decides which labels are said when there are more than `MAX_PHRASES`;
    `medium` is "photo" or "cartoon". Classes other than `gender`, `age_group` and `race` are said by name.
    """
    said = _chosen(attributes, id)
    phrases = {
        role: [attribute_words(name).caption for name in said if attribute_words(name).role == role]
        for role in ROLES
    }
    noun = _noun(attributes, classes)
    blurry = "blurry " if "blurry" in phrases["adjective"] else ""
    adjectives = [phrase for phrase in phrases["adjective"] if phrase != "blurry"]
    having = _joined_hair(phrases["having"])
    having += [spoken(value) for name, value in classes.items() if value and name not in _PERSON_CLASSES]
    doing = phrases["doing"]
    picture = _article(blurry + medium)
    person = _article(" ".join([*adjectives, noun]))
    with_things = f" with {_listed(having)}" if having else ""
    with_one = f" with {having[0]}" if having else ""
    doings = "".join(f", {phrase}" for phrase in doing)
    title = medium if medium != "photo" else "portrait"
    captions = [
        f"{picture} of {person}{with_things}{doings}",
        f"{person}{doings}{',' if doing and having else ''}{with_things}",
        f"{_article(blurry + title)}: {', '.join([person, *having, *doing])}",
        f"{picture} of {_article(noun)}{with_one}{doings}{_denied(attributes, id)}",
    ]
    return list(dict.fromkeys(caption[0].upper() + caption[1:] for caption in captions))


_PERSON_CLASSES = ("gender", "age_group", "race")


def _chosen(attributes: Mapping[str, bool | None], id: str) -> list[str]:
    """True labels worth saying, in the table's order; which of too many is decided by `id`."""
    true = [
        name
        for name, value in attributes.items()
        if value and name != "Male" and not any(map(attributes.get, _UNSAID_BESIDE.get(name, ())))
    ]
    kept = sorted(true, key=lambda name: _rank(id, name))[:MAX_PHRASES]
    order = {name: index for index, name in enumerate(ATTRIBUTE_WORDS)}
    return sorted(kept, key=lambda name: (order.get(name, len(order)), name))


def _rank(id: str, name: str) -> bytes:
    return hashlib.sha256(f"{id}/{name}".encode()).digest()


def _noun(attributes: Mapping[str, bool | None], classes: Mapping[str, str | None]) -> str:
    male = attributes.get("Male")
    gender = classes.get("gender") or (None if male is None else "Male" if male else "Female")
    age, race = classes.get("age_group"), classes.get("race")
    noun = {"Male": "man", "Female": "woman"}.get(gender or "", "person")
    ages = ""
    if age:
        noun = _AGE_NOUNS.get((age, gender or ""), noun)
        ages = "" if age in ("Child", "Teenager") and gender else f"{spoken(age).lower()} "
    races = "" if race in (None, "Others") else f"{race} "
    return f"{ages.replace('young-adult', 'young')}{races}{noun}"


def _joined_hair(having: list[str]) -> list[str]:
    """ "long hair", "gray hair" -> "long gray hair"."""
    hair = [phrase.removesuffix(" hair") for phrase in having if phrase.endswith(" hair")]
    others = [phrase for phrase in having if not phrase.endswith(" hair")]
    return [f"{' '.join(hair)} hair", *others] if hair else others


def _denied(attributes: Mapping[str, bool | None], id: str) -> str:
    false = [name for name in _WORTH_DENYING if attributes.get(name) is False]
    if not false:
        return ""
    words = attribute_words(min(false, key=lambda name: _rank(id, f"not {name}")))
    return f", not {words.caption}" if words.role == "doing" else f", without {words.caption}"


def _listed(phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def _article(words: str) -> str:
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"
