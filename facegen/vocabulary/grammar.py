"""How far a "no" reaches: from the words of a prompt to phrases that are asked for, asked away, or refused.

    prompt    item, item and item; ...
    item      phrase | opener list | age
    opener    no, without, doesn't, ... (negates) | hardly, no longer, ... (doubts)
    list      one phrase, and what is joined to it:
              by "or" and "nor", with all that commas join before ("no hat, glasses or beard");
              by "and", with things that stand by themselves ("without lipstick, earrings and necklace");
              not by a comma alone ("no hat, glasses"), nor what starts anew ("no beard and wearing
              a hat")

Where a list can be read either way ("no hat and blond hair") the prompt is refused. Words that may turn a
sense and are not understood take the phrase beside them along. The words: `tokens.py`; what phrases there
are: `phrases.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from facegen.errors import UsageError
from facegen.vocabulary.phrases import Lexicon, Meaning
from facegen.vocabulary.tokens import Token, tokens_of
from facegen.vocabulary.words import THINGS, VERBAL

AS_TEXT = "as text"  # by a model of free text, which has no labels
UNKNOWN = "not a known word"
NO_LABEL = "known, but no label here stands for it"


@dataclass(frozen=True)
class Said:
    """Words of a prompt and their meaning, empty where they are not understood or have no label.

    `because` says why they mean nothing or, where a word turned the sense, which one; `degree` is how much.
    `nearest` are known words that look like an unknown one.
    """

    text: str
    meaning: Meaning
    because: str = ""
    degree: str = ""
    nearest: str = ""

    @property
    def outcomes(self) -> list[str]:
        """What became of the words, a line each: "Wearing_Hat: no, by 'no'"."""
        if not self.meaning:
            return [f"left out: {self.because}{f', the nearest is {self.nearest!r}' if self.nearest else ''}"]
        if self.because == AS_TEXT:
            return ["taken as text"]
        because = f", {self.because}" if self.because else ""
        lines = [
            f"{label.replace('=', ': ')}{because}"
            if "=" in label
            else f"{label}: {'yes' if value > 0 else 'no'}{because}"
            for label, value in self.meaning.items()
        ]
        return [*lines, f"'{self.degree}' changes nothing: a label is there or not"] if self.degree else lines


@dataclass
class _Item:
    """One member of a list: what joins it to the one before, and its own tokens from `start` on."""

    joined: str
    start: int
    phrases: list[Token] = field(default_factory=list[Token])
    before: list[str] = field(default_factory=list[str])  # unknown words between the opener and the phrase
    after: list[str] = field(default_factory=list[str])
    starts_anew: bool = False
    determined: bool = False

    @property
    def text(self) -> str:
        return " ".join([*self.before, *(phrase.text for phrase in self.phrases)])

    @property
    def is_noun(self) -> bool:
        """Whether it names a thing, with or without more about it."""
        return bool(self.phrases) and self.phrases[-1].words[-1] in THINGS

    @property
    def is_thing(self) -> bool:
        """Whether it is one bare noun, which can follow "no" as it is: glasses, not "blond hair"."""
        return self.is_noun and len(self.phrases) == 1 and len(self.phrases[0].words) == 1


def said_in(prompt: str, lexicon: Lexicon) -> list[Said]:
    """What `prompt` says, in order.

    Raises:
        UsageError: a list after a negation that can be read in two ways; both are shown.
    """
    return _Reader(tokens_of(prompt, lexicon), lexicon).read()


class _Reader:
    """Walks over tokens once; `_said` since `_segment` is what a word that undoes takes back."""

    def __init__(self, tokens: list[Token], lexicon: Lexicon) -> None:
        self._tokens, self._lexicon = tokens, lexicon
        self._said: list[Said] = []
        self._segment = 0

    def read(self) -> list[Said]:
        position = 0
        while position < len(self._tokens):
            token = self._tokens[position]
            if token.kind in ("negates", "doubts"):
                position = self._scope(position)
                continue
            if token.kind == "phrase":
                because = "" if token.meaning else NO_LABEL
                self._said.append(Said(token.text, token.meaning, because, token.degree))
            elif token.kind == "unknown":
                nearest = "" if token.because else self._lexicon.nearest(token.text)
                self._said.append(Said(token.text, {}, token.because or UNKNOWN, nearest=nearest))
            elif token.kind == "undoes":
                self._undo(token.text)
            elif token.kind in (",", ";"):
                self._segment = len(self._said)
            position += 1
        return self._said

    def _undo(self, text: str) -> None:
        """The phrases of this segment are not asked for after all: they are left out with the word."""
        undone = [said.text for said in self._said[self._segment :]]
        self._said[self._segment :] = [Said(" ".join([*undone, text]), {}, f"'{text}' may turn the sense")]

    def _scope(self, position: int) -> int:
        """Read an opener and its list; returns where reading goes on."""
        opener = self._tokens[position]
        items, end, doubtful = self._items(position + 1)
        if not items:
            self._undo(opener.text)  # "glasses: no"
            return end
        count = _reach(opener, items)
        for item in items[:count]:
            text = f"{_spoken(opener)} {item.text}"
            meaning, because = self._turned(opener, item, doubtful)
            degree = item.phrases[0].degree if meaning else ""
            self._said.append(Said(text, meaning, because, degree))
            self._said += [Said(word, {}, UNKNOWN) for word in item.after]
        self._segment = len(self._said)
        return items[count].start if count < len(items) else end

    def _turned(self, opener: Token, item: _Item, doubtful: bool) -> tuple[Meaning, str]:
        """What a member of the opener's list means, and why."""
        if opener.kind == "doubts" or doubtful:
            return {}, f"'{opener.text}' may turn the sense"
        if item.before or not item.phrases:
            return {}, f"'{' '.join(item.before)}' is not known, and '{opener.text}' goes with it"
        if len(item.phrases) > 1:
            return {}, f"'{opener.text}' before several at once leaves open which"
        (phrase,) = item.phrases
        meaning = phrase.meaning if phrase.turned else self._lexicon.negated(phrase.words, phrase.meaning)
        if not meaning:
            return {}, "has no single opposite" if phrase.meaning else NO_LABEL
        return meaning, f"by '{opener.text}'"

    def _items(self, position: int) -> tuple[list[_Item], int, bool]:
        """The members of a list from `position` on, where it ends, and whether it is doubtful."""
        items: list[_Item] = []
        item, doubtful = _Item("", position), False
        while position < len(self._tokens):
            token = self._tokens[position]
            if token.kind == ";":
                break
            if token.kind in ("negates", "doubts"):
                if item.phrases or items:
                    break
                doubtful = True  # "not without glasses"
            elif token.kind == "undoes":
                doubtful = True
                item.before.append(token.text)
            elif token.kind in (",", "or", "and"):
                joined, position = self._joint(position)
                if item.phrases or item.before:
                    items.append(item)
                elif not items and joined == ",":
                    break
                item = _Item(joined, position)
                continue
            elif token.kind == "starts":
                if item.phrases:
                    break
                item.starts_anew = bool(items)
            elif token.kind == "the":
                item.determined = True
            elif token.kind == "phrase":
                item.phrases.append(token)
            elif token.kind == "unknown":
                (item.after if item.phrases else item.before).append(token.text)
            position += 1
        if item.phrases or item.before:
            items.append(item)
        return items, position, doubtful

    def _joint(self, position: int) -> tuple[str, int]:
        """What joins two members (", or" is "or"), and where the second begins."""
        kinds: set[str] = set()
        while position < len(self._tokens) and self._tokens[position].kind in (",", "or", "and"):
            kinds.add(self._tokens[position].kind)
            position += 1
        return next(kind for kind in ("or", "and", ",") if kind in kinds), position


def _reach(opener: Token, items: Sequence[_Item]) -> int:
    """How many members of the list the opener is about.

    Raises:
        UsageError: that can be read in two ways.
    """
    alternatives = [index for index, item in enumerate(items) if index and item.joined == "or"]
    if alternatives:
        last = start = alternatives[-1]
        while start and (items[start].joined == "or" or _goes_on(items[start - 1], items[start])):
            start -= 1
        if start == 0:
            return _and_then(opener, items, last + 1)
        anew = items[start].starts_anew and opener.text not in VERBAL
        if items[start].joined == "and" or (start == 1 and not anew):
            raise _ambiguous(opener, items, last + 1)
        return _reach(opener, items[:start])  # "no hat, smiling, with a beard or glasses"
    closing = next((index for index, item in enumerate(items) if index and item.joined == "and"), None)
    if closing is None:
        return 1
    for index in range(1, closing):  # "no hat, glasses and beard", but "no hat, smiling and blond"
        if items[index].starts_anew or not (items[0].is_thing and items[index].is_thing):
            return 1
    return _and_then(opener, items, closing)


def _goes_on(item: _Item, following: _Item) -> bool:
    """Whether a comma between the two can be one of a list: both are things, or neither is."""
    return following.joined == "," and not following.starts_anew and item.is_noun == following.is_noun


def _and_then(opener: Token, items: Sequence[_Item], count: int) -> int:
    """`count`, and the members that "and" adds to so many."""
    while count < len(items) and items[count].joined == "and":
        item, verbal = items[count], opener.text in VERBAL
        if item.starts_anew and not verbal:
            return count if count == 1 or items[count - 1].joined != "," else 1
        things = items[0].is_thing and item.is_thing and not item.determined
        if things and not item.starts_anew:
            count += 1
        elif verbal or item.is_noun:
            raise _ambiguous(opener, items, count + 1)
        else:
            return count  # "no glasses and smiling"
    return count


def _ambiguous(opener: Token, items: Sequence[_Item], count: int) -> UsageError:
    first, others = items[0].text, [item.text for item in items[1:count]]
    said = _spoken(opener)
    away = ", ".join(f"{said} {text}" for text in (first, *others))
    there = ", ".join([*others, f"{said} {first}"])
    return UsageError(
        f"'{opener.text} {first} ... {others[-1]}' can be read in two ways.",
        hint=f'Say "{away}" or "{there}"; or name each: --attributes NAME=0,NAME=1',
    )


def _spoken(opener: Token) -> str:
    return "not" if opener.text in VERBAL else opener.text
