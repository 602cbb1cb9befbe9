"""Which phrases a data set's labels are asked for by, in all their forms, and what each means."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache, lru_cache
from itertools import dropwhile

from facegen.types import LabelSchema
from facegen.vocabulary.conflicts import rivals_of
from facegen.vocabulary.words import (
    AGE_GROUPS,
    ATTRIBUTE_WORDS,
    COARSER,
    COLORED,
    COLORS_OF_THINGS,
    COMBINED_WORDS,
    EXPRESSIONS,
    FILLERS,
    OLD_FROM,
    YOUNG_UP_TO,
    attribute_words,
)

Words = tuple[str, ...]
Meaning = Mapping[str, float]  # label -> +1 or -1; a class value is "race=Asian"
_SHORT_SYLLABLE = re.compile(r"[^aeiou]?[^aeiou][aeiou][^aeiouwxyr]")  # doubles its end: chin, chinned


class Lexicon:
    """The phrases that mean something for `labels`; those of labels that it lacks are known and mean nothing.

    So that "black hair" is read whole also where hair has no label, and is not race=Black.
    """

    def __init__(self, labels: LabelSchema) -> None:
        self._labels = labels
        self._meanings: dict[Words, Meaning] = {}
        known = {f"{name}={value}" for name, values in labels.classes.items() for value in values}
        self._known = known | set(labels.attributes)
        self._add_attributes()
        self._meanings = {words: _told_once(meaning) for words, meaning in self._meanings.items()}
        for name, values in labels.classes.items():
            for value in values:
                self._add(value, {f"{name}={value}": 1.0})
        for said, labelled in COMBINED_WORDS.items():
            meaning = {label: float(value) for label, value in labelled.items() if label in self._known}
            words = words_of(said)
            self._meanings[words] = {**self._meanings.get(words, {}), **meaning}
        for said, asked in COLORED:
            if self._known.issuperset(asked):
                self._add(said, dict.fromkeys(asked, 1.0))
        self._spelt = [words[0] for words, meaning in self._meanings.items() if meaning and len(words) == 1]
        for words, meaning in list(self._meanings.items()):
            for form in inflected(words):
                self._meanings[form] = self._meanings.get(form) or meaning
        self._meanings |= {words_of(said): {} for said in EXPRESSIONS}
        self.longest = max((len(words) for words in self._meanings), default=1)

    def __contains__(self, words: Words) -> bool:
        return words in self._meanings

    def __getitem__(self, words: Words) -> Meaning:
        return self._meanings[words]

    def nearest(self, word: str) -> str:
        """The word that asks for something here and looks most like an unknown one; empty if none does. Few
        people misspell a first letter, and looking at all would take long."""
        word = word.casefold()
        alike = [one for one in self._spelt if one[0] == word[:1] and abs(len(one) - len(word)) < 3]
        found = get_close_matches(word, alike, n=1, cutoff=0.75)
        return found[0] if found else ""

    def of_age(self, years: int) -> Meaning:
        """What an age in years means: its group, and young or old where nobody would doubt it."""
        group = next((name for name, oldest in AGE_GROUPS.items() if years <= oldest), None)
        meaning = {f"age_group={group}": 1.0}
        if years <= YOUNG_UP_TO or years >= OLD_FROM:
            meaning["Young"] = 1.0 if years <= YOUNG_UP_TO else -1.0
        return {label: value for label, value in meaning.items() if label in self._known}

    def negated(self, words: Words, meaning: Meaning) -> Meaning:
        """A meaning turned round; what has no single opposite comes out empty: "not Asian", "not
        clean-shaven", and "no sunglasses" where glasses of both kinds are one label."""
        for fine in set(COARSER) - set(self._labels.attributes):
            if words in _ways_to_say(fine) - _ways_to_say(COARSER[fine]):
                return {}
        opposite = {label: -value for label, value in meaning.items() if "=" not in label}
        return opposite if len(opposite) == 1 else {}

    def _add_attributes(self) -> None:
        for name, words in ATTRIBUTE_WORDS.items():
            if name in COLORS_OF_THINGS:
                continue  # without such a label, "a red hat" is still a hat
            for said in (words.caption, *words.asks, *words.denies):
                self._add(said, {})
        finer = (fine for fine in COARSER if fine not in self._labels.attributes)
        for attribute in (*self._labels.attributes, *finer):
            label = attribute if attribute in self._known else COARSER[attribute]
            if label not in self._known:
                continue
            words = attribute_words(attribute)
            for said in (words.caption, attribute, *words.asks):
                self._add(said, {label: 1.0})
            if label == attribute:
                for said in words.denies:
                    self._add(said, {label: -1.0})

    def _add(self, said: str, meaning: Meaning) -> None:
        words = words_of(said)
        if words:
            self._meanings[words] = {**self._meanings.get(words, {}), **meaning}
            if words[0] in FILLERS:  # "a beard", "wearing a hat" also without their first words
                self._add(" ".join(words[1:]), meaning)


def _told_once(meaning: Meaning) -> Meaning:
    """Without what another part of the meaning says already: of "a beanie" that it is a hat, of "sad" that
    nobody smiles."""
    there = {label for label, value in meaning.items() if value > 0}
    coarse = {COARSER[label] for label in there & COARSER.keys()}
    ruled_out = {rival for label in there for rival in rivals_of(label)}
    return {
        label: value
        for label, value in meaning.items()
        if not (value > 0 and label in coarse) and not (value < 0 and label in ruled_out)
    }


@cache
def _ways_to_say(name: str) -> frozenset[Words]:
    """All phrases of an attribute, with and without what stands before them, such as "wearing a"."""
    said = {words_of(one) for one in (attribute_words(name).caption, *attribute_words(name).asks)}
    bare = {tuple(dropwhile(FILLERS.__contains__, words)) for words in said}
    return frozenset(form for words in said | bare for form in (words, *inflected(words)))


def words_of(said: str) -> Words:
    """Lower-case words: "five o'clock shadow" -> five, o, clock, shadow."""
    return tuple(re.findall(r"[^\W_]+", re.sub(r"[’'](?:s|t)?\b", " ", said.casefold())))


def lexicon_of(labels: LabelSchema) -> Lexicon:
    """The lexicon of `labels`; made once for the same labels, as a thousand prompts are read with it."""
    return _lexicon_of(labels.attributes, tuple(labels.classes.items()))


@lru_cache(8)
def _lexicon_of(attributes: tuple[str, ...], classes: tuple[tuple[str, tuple[str, ...]], ...]) -> Lexicon:
    return Lexicon(LabelSchema(attributes, dict(classes)))


def inflected(words: Words) -> Iterator[Words]:
    """Other forms of a phrase's last word: "rosy cheeks" -> "rosy cheek", "rosy cheeked"."""
    *before, last = words
    if len(last) < 3 or last.endswith(("ed", "ing")):
        return
    single = last.removesuffix("s") if not last.endswith("ss") else last
    ending = "d" if single.endswith("e") else "ed"
    if _SHORT_SYLLABLE.fullmatch(single):
        ending = single[-1] + ending
    for form in (single, single + "s", single + ending):
        if form != last:
            yield (*before, form)
