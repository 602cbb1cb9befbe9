"""From words and labels to what a generator is asked for."""

from __future__ import annotations

from collections.abc import Mapping

from facegen.errors import UsageError
from facegen.protocols import Progress
from facegen.types import LabelSchema, PromptReading
from facegen.vocabulary.prompts import read_attributes
from facegen.workflows.generator import FaceGenerator

TAKES = {  # what a model of each conditioner can be asked with; outside kinds judge for themselves
    "attributes": ("prompt", "attributes", "negative"),
    "class_label": ("prompt", "class", "negative"),
    "text": ("prompt", "negative"),
    "none": (),
}
INSTEAD = {
    "attributes": 'Use --prompt "a smiling woman" or --attributes "Smiling=1,Eyeglasses=0".',
    "class_label": "Use --class NAME.",
    "text": "Use --prompt.",
    "none": "Sample it without a request, or train with a conditioner such as 'attributes'.",
}
NAMES = {"attributes": "attributes", "class_label": "classes", "text": "free text", "none": "no condition"}


def read_request(
    generator: FaceGenerator,
    progress: Progress,
    *,
    prompt: str | None = None,
    attributes: str | None = None,
    class_name: str | None = None,
) -> PromptReading:
    """Join prompt, `Name=value` list and class to one reading, and tell what was understood of the prompt.

    A value in `attributes` wins over the same label in the prompt.

    Raises:
        UsageError: this kind of model cannot be asked so, a label it does not know, or a prompt of which
            nothing was understood.
    """
    given = {"prompt": prompt, "attributes": attributes, "class": class_name}
    for option, value in given.items():
        if value is not None:
            check_takes(generator, option)
    reading = PromptReading({}) if prompt is None else _read_prompt(generator, prompt, progress)
    if attributes is not None:
        listed = read_attributes(attributes, LabelSchema(_attributes(generator)))
        reading = PromptReading(
            {**reading.labels, **listed.labels},
            (*reading.understood, *listed.understood),
            reading.not_understood,
        )
    if class_name is not None:
        reading = PromptReading(
            {**reading.labels, class_name: 1.0}, (*reading.understood, (class_name, class_name))
        )
    return reading


def read_negative(generator: FaceGenerator, negative: str, progress: Progress) -> PromptReading:
    """Read what guidance is to lead away from.

    Raises:
        UsageError: as `read_request`.
    """
    check_takes(generator, "negative")
    return _read_prompt(generator, negative, progress)


def check_takes(generator: FaceGenerator, option: str) -> None:
    """Refuse `--<option>` for a model of another kind.

    Raises:
        UsageError: says what the model was trained on and how it can be asked.
    """
    kind = generator.recipe.section("conditioner").kind
    if kind in TAKES and option not in TAKES[kind]:
        raise UsageError(
            f"--{option} does not fit this model: it was trained on {NAMES[kind]}.", hint=INSTEAD[kind]
        )


def request_text(labels: Mapping[str, float]) -> str:
    """Labels as words, such as "Smiling, no Eyeglasses"."""
    return ", ".join(name if value > 0 else f"no {name}" for name, value in labels.items())


def _read_prompt(generator: FaceGenerator, prompt: str, progress: Progress) -> PromptReading:
    reading = generator.read(prompt)
    left_over = ", ".join(f"'{words}'" for words in reading.not_understood)
    if left_over and not reading.labels:
        raise UsageError(f"Nothing in '{prompt}' was understood: {left_over}.", hint=_known(generator))
    if reading.understood:
        understood = ", ".join(f"'{words}' as {meaning}" for words, meaning in reading.understood)
        progress.say(f"Understood: {understood}.")
    if left_over:
        progress.warn(f"Not understood and left out: {left_over}. {_known(generator)}")
    return reading


def _known(generator: FaceGenerator) -> str:
    classes = getattr(generator.conditioner, "classes", None)
    if classes:
        return f"This model knows the classes {', '.join(classes)}."
    return f"This model knows: {', '.join(_attributes(generator))}."


def _attributes(generator: FaceGenerator) -> tuple[str, ...]:
    """Those the model was trained on, which may be fewer than the data has."""
    return tuple(getattr(generator.conditioner, "attributes", generator.labels.attributes))
