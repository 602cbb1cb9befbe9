"""How a prompt is read, as data: what each phrase asks for, by which words, and why others do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facegen.errors import UsageError
from facegen.types import LabelSchema, PromptReading
from facegen.vocabulary.grammar import Said, said_in
from facegen.vocabulary.phrases import lexicon_of

LONGEST_PROMPT = 4000  # characters


@dataclass(frozen=True)
class Explanation:
    """What a prompt says in order, `refusal` if it cannot be asked for, and the labels that came of it.

    `asked` are labels of +1 and -1 up to a refusal; `read_by` names what the labels are of. `notes` are
    further things to know, such as the words of a text that did next to nothing.
    """

    prompt: str
    said: tuple[Said, ...] = ()
    refusal: UsageError | None = None
    asked: Mapping[str, float] | None = None
    read_by: str = ""
    notes: tuple[str, ...] = ()

    @property
    def reading(self) -> PromptReading:
        """The same in short."""
        understood = tuple((each.text, meaning_of(each)) for each in self.said if each.meaning)
        left_out = tuple(each.text for each in self.said if not each.meaning)
        nearest = {each.text: each.nearest for each in self.said if each.nearest}
        return PromptReading(dict(self.asked or {}), understood, left_out, nearest)

    def to_json(self) -> dict[str, Any]:
        """Plain data; labels are 1 and 0."""
        return {
            "prompt": self.prompt,
            "read_by": self.read_by,
            "phrases": [
                {
                    "words": each.text,
                    "labels": {label: int(value > 0) for label, value in each.meaning.items()},
                    "because": each.because or None,
                    "degree": each.degree or None,
                    "nearest": each.nearest or None,
                }
                for each in self.said
            ],
            "refused": None if self.refusal is None else str(self.refusal),
            "notes": list(self.notes),
        }


def explain_prompt(prompt: str, labels: LabelSchema) -> Explanation:
    """How `prompt` is read into the labels of a data set; a refusal is part of what comes back."""
    if len(prompt) > LONGEST_PROMPT:
        told = f"The prompt has {len(prompt):,} characters; at most {LONGEST_PROMPT:,} are read."
        return Explanation(prompt, refusal=UsageError(told, hint="Say what the face shows in a few words."))
    try:
        said = said_in(prompt, lexicon_of(labels))
    except UsageError as refusal:
        return Explanation(prompt, refusal=refusal)
    asked: dict[str, float] = {}
    for number, each in enumerate(said, 1):
        for label, value in each.meaning.items():
            if asked.get(label, value) != value:
                first, second = shown(label, -value), shown(label, value)
                refusal = UsageError(f"The prompt asks for {first} and, by '{each.text}', for {second}.")
                return Explanation(prompt, tuple(said[:number]), refusal, asked)
            asked[label] = value
    return Explanation(prompt, tuple(said), None, asked)


def explain_reading(prompt: str, reading: PromptReading) -> Explanation:
    """The same of what a model made of its words by itself, such as one of free text."""
    understood = [Said(words, {words: 1.0}, f"as {meaning}") for words, meaning in reading.understood]
    left_out = [Said(words, {}, "not understood by the model") for words in reading.not_understood]
    return Explanation(prompt, (*understood, *left_out), None, reading.labels)


def meaning_of(said: Said) -> str:
    """Such as "Male=0, Smiling=1"."""
    return ", ".join(shown(*item) for item in said.meaning.items())


def shown(label: str, value: float) -> str:
    """Such as "Smiling=1"; a class value is itself: "race=Asian"."""
    return label if "=" in label else f"{label}={int(value > 0)}"
