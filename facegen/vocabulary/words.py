"""One table, `lexicon.yaml`: how each label is said in a caption and which words ask for it in a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import yaml

from facegen.types import LabelSchema

Role = Literal["adjective", "having", "doing"]
ROLES: tuple[Role, ...] = ("adjective", "having", "doing")
Turn = Literal["negates", "doubts", "undoes"]
TURN_KINDS: tuple[Turn, ...] = ("negates", "doubts", "undoes")


@dataclass(frozen=True)
class LabelWords:
    """Words of one attribute. `caption` is said as `role`: "a YOUNG man", "with GLASSES", "SMILING". `asks`
    are further words that mean yes, `denies` words that mean no."""

    role: Role
    caption: str
    asks: tuple[str, ...] = ()
    denies: tuple[str, ...] = ()


def _words_of(entry: dict[str, Any]) -> LabelWords:
    role: Role = next(role for role in ROLES if role in entry)
    return LabelWords(role, entry[role], tuple(entry.get("asks", ())), tuple(entry.get("denies", ())))


# libyaml, where the wheel has it, is ten times as fast: 0.1 s of every start
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TABLE: Any = yaml.load((files("facegen.vocabulary") / "lexicon.yaml").read_text("utf-8"), _LOADER)
ATTRIBUTE_WORDS = {name: _words_of(entry) for name, entry in _TABLE["attributes"].items()}
COMBINED_WORDS: dict[str, dict[str, float]] = {
    said: entry["labels"] for entry in _TABLE["combined"] for said in entry["words"]
}
CELEBA = LabelSchema(
    tuple(sorted({*ATTRIBUTE_WORDS, "Male"} - {*_TABLE["not_in_celeba"]}))
)  # its forty attributes
COLORED: tuple[tuple[str, tuple[str, ...]], ...] = tuple(  # phrase -> labels it asks for, all of them or none
    (f"{color} {thing}", tuple(label for label in (thing_label, color_label) if label is not None))
    for entry in _TABLE["colored"]
    for color, color_label in entry["colors"].items()
    for thing, thing_label in entry["things"].items()
)
COLORS_OF_THINGS = frozenset(label for entry in _TABLE["colored"] for label in entry["colors"].values())
COARSER: dict[str, str] = _TABLE["coarser"]
AGE_GROUPS: dict[str, int] = _TABLE["age_groups"]  # name -> the oldest in it
YOUNG_UP_TO, OLD_FROM = _TABLE["young_up_to"], _TABLE["old_from"]
FILLERS = frozenset(_TABLE["fillers"])
DEGREES = frozenset(_TABLE["degrees"])
DETERMINERS = frozenset(_TABLE["determiners"])
RESTARTS = frozenset(_TABLE["restarts"])
THINGS = frozenset(_TABLE["things"])
WORN = frozenset(_TABLE["worn"])
DESCRIBING = frozenset(_TABLE["describing"])
PEOPLE = frozenset(_TABLE["people"])
PICTURES = frozenset(_TABLE["pictures"])
EXPRESSIONS: tuple[str, ...] = tuple(_TABLE["expressions"])
VERBAL = frozenset(_TABLE["verbal"])
HAIR_ADJECTIVES = frozenset(_TABLE["hair_adjectives"])
TENS: dict[str, int] = {word: 10 * tens for tens, word in enumerate(_TABLE["tens"], start=2)}
TURNS: dict[tuple[str, ...], Turn] = {
    tuple(said.split()): kind for kind in TURN_KINDS for said in _TABLE[kind]
}  # words that turn the sense of others


def attribute_words(name: str) -> LabelWords:
    """Words of any attribute; one that the table lacks is said by its own name ("Has_Dog": "has dog")."""
    return ATTRIBUTE_WORDS.get(name) or LabelWords("having", name.replace("_", " ").strip().lower())


def spoken(value: str) -> str:
    """A class name as it is said: "Middle_Aged" -> "middle-aged", "Asian" stays."""
    return value.lower().replace("_", "-") if "_" in value else value


def readable(name: str) -> str:
    """A label or a setting's name without underscores."""
    return name.replace("_", " ")
