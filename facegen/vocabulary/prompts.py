"""From words to labels: `read_prompt` for prose, `read_attributes` for `Name=value` lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from facegen.errors import UsageError, did_you_mean
from facegen.types import LabelSchema, PromptReading
from facegen.vocabulary.words import (
    ATTRIBUTE_WORDS,
    COARSER,
    COMBINED_WORDS,
    FILLERS,
    HAIR_ADJECTIVES,
    NEGATIONS,
    attribute_words,
)

ASK_WITH_PICTURES = "Ask with photos: --like PHOTO for variations, --between A B for what lies between two."
Words = tuple[str, ...]
Meaning = dict[str, float]  # label -> +1 or -1; a class value is "race=Asian"
_BREAK = ","  # a token of its own: ends the reach of a negation
_YES_NO = {"1": 1.0, "+1": 1.0, "yes": 1.0, "true": 1.0, "0": -1.0, "-1": -1.0, "no": -1.0, "false": -1.0}


def read_prompt(prompt: str, labels: LabelSchema) -> PromptReading:
    """Read a prompt such as "a smiling blonde woman without glasses" into the labels of a data set.

    Labels are +1 (asked for) and -1 (asked to be absent); a class value is the key "race=Asian". Words
    that no label of this data set stands for come back as `not_understood`; fillers do not.

    Raises:
        UsageError: the prompt asks for a label and for its absence.
    """
    lexicon = _lexicon(labels)
    longest = max((len(words) for words in lexicon), default=1)
    read: Meaning = {}
    understood: list[tuple[str, str]] = []
    unknown: list[str] = []
    negation: str | None = None  # the word that negates what comes next
    carried: str | None = None  # "no hat or glasses": reaches over one "or"
    tokens = list(_tokens(prompt))
    position = 0
    while position < len(tokens):
        token = tokens[position]
        size = _longest_match(tokens, position, lexicon, longest)
        if size:
            words = tuple(tokens[position : position + size])
            said = " ".join((negation, *words) if negation else words)
            meaning = lexicon[words] if negation is None else _negated(words, lexicon[words], labels)
            if meaning:
                _merge(read, meaning, said)
                understood.append((said, ", ".join(_shown(*item) for item in meaning.items())))
            else:
                unknown.append(said)
            carried, negation = negation, None
        elif token in NEGATIONS:
            negation = token if token in ("no", "without") else "not"
        elif token in ("or", "nor"):
            negation = negation or carried
        elif token == _BREAK:
            negation = None
            carried = carried if "or" in tokens[position + 1 : position + 2] else None
        elif token not in FILLERS:
            unknown.append(f"{negation} {token}" if negation else token)
            negation = carried = None
        position += size or 1
    return PromptReading(read, tuple(understood), tuple(unknown))


def read_attributes(text: str, labels: LabelSchema) -> PromptReading:
    """Read "Smiling=1,Eyeglasses=0,race=Asian"; values are 1/0, yes/no, true/false or a class name.

    Raises:
        UsageError: an unknown attribute, class or value (with the nearest known one), or one named twice.
    """
    read: Meaning = {}
    understood = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, separator, value = (piece.strip() for piece in part.partition("="))
        label, number = _attribute(name, value if separator else "1", labels)
        if label in read:
            raise UsageError(f"'{label}' is given twice in '{text}'.")
        read[label] = number
        understood.append((part, _shown(label, number)))
    return PromptReading(read, tuple(understood), ())


def _attribute(name: str, value: str, labels: LabelSchema) -> tuple[str, float]:
    known = {known.casefold(): known for known in (*labels.attributes, *labels.classes)}
    label = known.get(name.casefold())
    if label is None:
        names = sorted(known.values())
        raise UsageError(
            f"Unknown attribute '{name}'.{did_you_mean(name, names)}", hint=f"Known: {', '.join(names)}"
        )
    if label in labels.classes:
        values = {known.casefold(): known for known in labels.classes[label]}
        if value.casefold() not in values:
            raise UsageError(
                f"'{label}' has no class '{value}'.{did_you_mean(value, values.values())}",
                hint=f"Classes of {label}: {', '.join(values.values())}",
            )
        return f"{label}={values[value.casefold()]}", 1.0
    if value.casefold() not in _YES_NO:
        raise UsageError(f"'{name}={value}': an attribute is 1 (yes) or 0 (no).")
    return label, _YES_NO[value.casefold()]


def _tokens(prompt: str) -> Iterator[str]:
    """Lower-case words; "long, curly black hair" becomes "long hair curly hair black hair"."""
    text = re.sub(r"[’'](?:s|t)?\b", " ", prompt.casefold())
    words = re.findall(r"[^\W_]+|[,;.:]", text.replace("_", " "))
    pending: list[str] = []  # hair adjectives that wait for their "hair"
    for word, following in pairwise([*words, ""]):
        if word in HAIR_ADJECTIVES or (pending and word in (",", "and") and following in HAIR_ADJECTIVES):
            pending.append(word)
        elif pending and word in ("hair", "haired"):
            for adjective in pending:
                yield from (adjective, "hair") if adjective in HAIR_ADJECTIVES else ()
            pending = []
        else:
            yield from (_BREAK if waiting in ",;.:" else waiting for waiting in pending)
            pending = []
            yield _BREAK if word in ",;.:" else word
    yield from (_BREAK if waiting in ",;.:" else waiting for waiting in pending)


def _lexicon(labels: LabelSchema) -> dict[Words, Meaning]:
    # phrases that this data set has no label for are still read whole: "black hair" is not race=Black
    lexicon: dict[Words, Meaning] = {}
    for words in ATTRIBUTE_WORDS.values():
        for said in (words.caption, *words.asks, *words.denies):
            _add(lexicon, said, {})
    known = set(labels.attributes)
    known |= {f"{name}={value}" for name, values in labels.classes.items() for value in values}
    for attribute in (*labels.attributes, *(fine for fine in COARSER if fine not in labels.attributes)):
        label = attribute if attribute in known else COARSER[attribute]
        if label not in known:
            continue
        words = attribute_words(attribute)
        for said in (words.caption, attribute, *words.asks):
            _add(lexicon, said, {label: 1.0})
        if label == attribute:
            for said in words.denies:
                _add(lexicon, said, {label: -1.0})
    for name, values in labels.classes.items():
        for value in values:
            _add(lexicon, value, {f"{name}={value}": 1.0})
    for said, labelled in COMBINED_WORDS.items():
        meaning = {label: float(value) for label, value in labelled.items() if label in known}
        if meaning:
            lexicon[_words(said)] = {**lexicon.get(_words(said), {}), **meaning}
    return lexicon


def _add(lexicon: dict[Words, Meaning], said: str, meaning: Meaning) -> None:
    words = _words(said)
    if words:
        lexicon[words] = {**lexicon.get(words, {}), **meaning}
        if words[0] in FILLERS:  # "a beard", "wearing a hat" also without their first words
            _add(lexicon, " ".join(words[1:]), meaning)


def _words(said: str) -> Words:
    return tuple(token for token in _tokens(said) if token != _BREAK)


def _longest_match(tokens: list[str], position: int, lexicon: dict[Words, Meaning], longest: int) -> int:
    if tokens[position] in FILLERS:
        return 0
    sizes = range(min(longest, len(tokens) - position), 0, -1)
    return next((size for size in sizes if tuple(tokens[position : position + size]) in lexicon), 0)


def _negated(words: Words, meaning: Meaning, labels: LabelSchema) -> Meaning:
    """Turn a meaning round; what has no single opposite comes out empty: "not Asian", "not clean-shaven",
    and "no sunglasses" where glasses of both kinds are one label."""
    if any(words == _words(attribute_words(fine).caption) for fine in set(COARSER) - set(labels.attributes)):
        return {}
    opposite = {label: -value for label, value in meaning.items() if "=" not in label}
    return opposite if len(opposite) == 1 else {}


def _merge(read: Meaning, meaning: Meaning, said: str) -> None:
    for label, value in meaning.items():
        if read.get(label, value) != value:
            opposite = _shown(label, -value)
            raise UsageError(f"The prompt asks for {opposite} and, by '{said}', for {_shown(label, value)}.")
        read[label] = value


def _shown(label: str, value: float) -> str:
    return label if "=" in label else f"{label}={int(value > 0)}"
