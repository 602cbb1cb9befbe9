"""From words to labels: `read_prompt` for prose, `read_attributes` for `Name=value` lists."""

from __future__ import annotations

from facegen.errors import UsageError, did_you_mean
from facegen.types import LabelSchema, PromptReading
from facegen.vocabulary.explanation import explain_prompt, shown

ASK_WITH_PICTURES = "Ask with photos: --like PHOTO for variations, --between A B for what lies between two."
_YES_NO = {"1": 1.0, "+1": 1.0, "yes": 1.0, "true": 1.0, "0": -1.0, "-1": -1.0, "no": -1.0, "false": -1.0}


def read_prompt(prompt: str, labels: LabelSchema) -> PromptReading:
    """Read a prompt such as "a smiling blonde woman without glasses" into the labels of a data set.

    Labels are +1 (asked for) and -1 (asked to be absent); a class value is the key "race=Asian". Words
    that no label of this data set stands for come back as `not_understood`; fillers do not.

    Raises:
        UsageError: the prompt asks for a label and for its absence, or can be read in two ways.
    """
    explanation = explain_prompt(prompt, labels)
    if explanation.refusal is not None:
        raise explanation.refusal
    return explanation.reading


def read_attributes(text: str, labels: LabelSchema) -> PromptReading:
    """Read "Smiling=1,Eyeglasses=0,race=Asian"; values are 1/0, yes/no, true/false or a class name.

    Raises:
        UsageError: an unknown attribute, class or value (with the nearest known one), or one named twice.
    """
    read: dict[str, float] = {}
    understood = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, separator, value = (piece.strip() for piece in part.partition("="))
        label, number = _attribute(name, value if separator else "1", labels)
        if label in read:
            raise UsageError(f"'{label}' is given twice in '{text}'.")
        read[label] = number
        understood.append((part, shown(label, number)))
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
