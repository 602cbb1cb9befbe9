"""From the text of a prompt to its words and phrases, each with what it does in a sentence."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from itertools import pairwise, takewhile
from typing import Literal

from facegen.vocabulary.phrases import Lexicon, Meaning, Words
from facegen.vocabulary.words import (
    DEGREES,
    DESCRIBING,
    DETERMINERS,
    FILLERS,
    HAIR_ADJECTIVES,
    PEOPLE,
    PICTURES,
    RESTARTS,
    TENS,
    THINGS,
    TURNS,
    WORN,
)

Kind = Literal[
    "phrase", "negates", "doubts", "undoes", "or", "and", ",", ";", "starts", "the", "filler", "unknown"
]  # fmt: skip
_MOST_WORDS = max(len(said) for said in TURNS)
_SIGNS = {",": ",", "/": "or", "&": "and", "+": "and", "-": "-"}
_MISSPELT = [
    said for (said, *more), kind in TURNS.items() if kind == "negates" and not more and len(said) > 6
]
_JOINED = "\N{NON-BREAKING HYPHEN}"  # within a compound that is one unknown word


@dataclass(frozen=True)
class Token:
    """A word, or words that belong together; a phrase also has its `meaning`."""

    kind: Kind
    text: str
    words: Words = ()
    meaning: Meaning = field(default_factory=dict[str, float])
    turned: bool = False  # its meaning has the "no" before it in it: "no hair"
    degree: str = ""  # the words before it that say how much
    because: str = ""  # why it is unknown, where its words are known


def tokens_of(prompt: str, lexicon: Lexicon) -> list[Token]:
    """The words of a prompt, phrases and turning words whole."""
    return _of_the_face(list(_tokens(prompt, lexicon)))


def _tokens(prompt: str, lexicon: Lexicon) -> Iterator[Token]:
    words = list(_words(prompt, lexicon))
    position = 0
    while position < len(words):
        word = words[position]
        turn = _longest(words, position, TURNS, _MOST_WORDS)
        said = () if word in FILLERS else _longest(words, position, lexicon, lexicon.longest)
        if turn and len(said) > len(turn) and TURNS[turn] == "negates":
            yield Token("negates", " ".join(turn))
            yield Token("phrase", " ".join(said[len(turn) :]), said, lexicon[said], turned=True)
        elif said and len(said) >= len(turn):
            yield Token("phrase", " ".join(said), said, lexicon[said])
        elif turn:
            said = ()
            yield Token(TURNS[turn], " ".join(turn))
        elif age := re.fullmatch(r"age(\d{1,4})", word):
            yield Token("phrase", f"{age[1]} years old", (word,), lexicon.of_age(int(age[1])))
        else:
            yield Token(_kind_of(word), word)
        position += len(said or turn) or 1


def _kind_of(word: str) -> Kind:
    if word in (",", ";", "and"):
        return word
    if word in ("or", "nor"):
        return "or"
    if word in ("but", "however", "though", "yet"):
        return ";"
    if word in RESTARTS:
        return "starts"
    if word in DETERMINERS:
        return "the"
    if word in FILLERS:
        return "filler"
    return "doubts" if get_close_matches(word, _MISSPELT, 1, 0.8) else "unknown"  # "wihtout"


def _of_the_face(tokens: Sequence[Token]) -> list[Token]:
    """`tokens`, where what describes a thing without a label is no phrase, but unknown as the thing is.

    "a white dress", "an old photo", "in black"; in "a black hat" the colour alone is unknown. "A
    young, freckled woman" and "a smiling nurse" are people.
    """
    kept: list[Token] = []
    for index, token in enumerate(tokens):
        before = tokens[index - 1] if index else Token(",", "")
        run = list(takewhile(lambda one: one.kind == "unknown", tokens[index + 1 :]))
        following = next(iter(tokens[index + 1 + len(run) :]), Token(",", ""))
        describes = token.kind == "phrase" and len(token.words) == 1 and token.words[0] in DESCRIBING
        if token.text.endswith("ing"):  # "smiling broadly" describes no thing, "a smiling dog" does
            describes = describes and before.kind == "the"
        degree = " ".join(_degrees(tokens[:index]))
        if following.kind == "phrase":
            last = following.words[-1]
            of_a_thing = len(following.words) == 1 and last in THINGS
            of_a_thing = of_a_thing or last in WORN or last.removesuffix("s") in WORN
        elif run:
            of_a_thing = run[-1].text.removesuffix("s") not in PEOPLE
        elif following.text in PICTURES:
            of_a_thing = "Blurry" not in token.meaning
        else:
            of_a_thing = before.text in ("in", "wearing")  # "a woman in black"
        if describes and of_a_thing:
            thing = " ".join(one.text for one in run) or following.text
            kept.append(
                Token("unknown", token.text, because=f"said of '{thing}'" if thing else "said of a thing")
            )
        else:
            kept.append(replace(token, degree=degree) if token.kind == "phrase" else token)
    return kept


def _longest(words: Sequence[str], position: int, known: Container[Words], most: int) -> Words:
    sizes = range(min(most, len(words) - position), 0, -1)
    parts = (tuple(words[position : position + size]) for size in sizes)
    return next((part for part in parts if part in known), ())


_TEN = "|".join(TENS)
_OF_A_TEN = r"\bin (?:his|her|their) (?:early |mid[- ]?|late )?"
_AGES = (  # what is matched, times what it counts, plus half of what it leaves open
    (r"\b(\d{1,3})[\s-]*(?:years?|yrs?|yo\b|y/o|y\.o\.)(?:[\s-]*olds?\b)?", 1, 0),
    (r"\baged?\s+(\d{1,3})\b", 1, 0),
    (_OF_A_TEN + r"(\d)0[’']?s\b", 10, 5),
    (_OF_A_TEN + rf"({_TEN.replace('y', 'ies')})\b", 1, 5),
    (rf"\b({_TEN})(?:[\s-](?:one|two|three|four|five|six|seven|eight|nine))?[\s-]*years?[\s-]*olds?\b", 1, 5),
)


def _words(prompt: str, lexicon: Lexicon) -> Iterator[str]:
    """Lower-case words and signs: "a hat-less 25-year-old with long, curly hair" is a, no, hat, ;, age25,
    with, long, hair, curly, hair."""
    text = prompt.casefold().replace("_", " ")
    for pattern, times, plus in _AGES:
        text = re.sub(pattern, partial(_age, times, plus), text)
    text = re.sub(r"\bw/o\b", " without ", text)
    text = re.sub(r"\bt[- ]shirt", "tshirt", text)
    text = re.sub(r"\bheart[- ]shaped (eyes?)\b", r"heart \1", text)
    text = re.sub(r"n[’']t\b", " not ", text)
    text = re.sub(r"[’'](?:s|t|re|ve|d|ll)?\b", " ", text)
    text = re.sub(r"\bnon[- ](\w+)", r" not \1 ; ", text)
    text = re.sub(r"\b(\w+(?:-\w+)*)-(?:less|free)\b", r" no \1 ; ", text)
    text = re.sub(r"\ba (?:little|few)\b", " a ", text)
    text = re.sub(r"[^\W_]+(?:-[^\W_]+)+", partial(_compound, lexicon), text)
    found = re.findall(rf"[^\W_]+(?:{_JOINED}[^\W_]+)*|(?<!\S)-(?=\w)|[^\w\s’'\"=:-]", text)
    words = [_SIGNS.get(word, word if word[0].isalnum() else ";") for word in found]
    return _whole_hair([part for word in words for part in _without(word, lexicon)])


def _degrees(before: Sequence[Token]) -> list[str]:
    """The words that say how much, at the end of what stands before a phrase."""
    words = list(takewhile(lambda one: one.text in DEGREES, reversed(before)))
    return [one.text for one in reversed(words)]


def _compound(lexicon: Lexicon, found: re.Match[str]) -> str:
    """A compound as its words, or whole where not all are known: "sharp-nosed" says nothing of sharp."""
    parts = found[0].split("-")
    position = 0
    while position < len(parts):
        said = _longest(parts, position, lexicon, lexicon.longest) or _longest(
            parts, position, TURNS, _MOST_WORDS
        )
        of_hair = parts[position] in HAIR_ADJECTIVES and parts[position - 1] != "in"  # "pretty-in-pink"
        if not said and _kind_of(parts[position]) == "unknown" and not of_hair:
            return _JOINED.join(parts)
        position += len(said) or 1
    return " ".join(parts)


def _age(times: int, plus: int, found: re.Match[str]) -> str:
    number = int(found[1]) if found[1].isdecimal() else TENS[found[1].replace("ies", "y")]
    return f" age{number * times + plus} "


def _without(word: str, lexicon: Lexicon) -> Words:
    """ "beardless" as no, beard, ; where it has no words of its own."""
    stem = word.removesuffix("less").removesuffix("free")
    if stem == word or (word,) in lexicon:
        return (word,)
    known = next((form for form in (stem, f"{stem}s") if (form,) in lexicon), None)
    return (word,) if known is None else ("no", known, ";")


def _whole_hair(words: Sequence[str]) -> Iterator[str]:
    """ "long, curly black hair" becomes "long hair curly hair black hair"; an "or" between them stays."""
    waiting: list[str] = []  # adjectives that wait for their "hair", with what joins them
    for word, following in pairwise([*words, ""]):
        joins = waiting and word in (",", "and", "or", "nor") and following in HAIR_ADJECTIVES
        if word in HAIR_ADJECTIVES or joins:
            waiting.append(word)
        elif waiting and word in ("hair", "haired"):
            for adjective in waiting:
                if adjective in HAIR_ADJECTIVES:
                    yield from (adjective, "hair")
                elif adjective in ("or", "nor"):
                    yield adjective
            waiting = []
        else:
            yield from waiting
            waiting = []
            yield word
    yield from waiting
