"""From words and labels to what a generator is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from facegen.errors import UsageError
from facegen.models.generator import FaceGenerator, check_blend_weights
from facegen.protocols import Progress
from facegen.sampling.word_effects import word_effects
from facegen.types import Asking, LabelSchema, PromptReading
from facegen.vocabulary.explanation import Explanation, explain_prompt
from facegen.vocabulary.prompts import read_attributes
from facegen.vocabulary.words import CELEBA

BLEND_EXAMPLE = 'Such as --blend "Asian:0.5,White:0.5".'


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
        listed = read_attributes(attributes, LabelSchema(generator.attributes or generator.labels.attributes))
        reading = PromptReading(
            {**reading.labels, **listed.labels},
            (*reading.understood, *listed.understood),
            reading.not_understood,
            reading.nearest,
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


def read_terms(generator: FaceGenerator, terms: Iterable[str], progress: Progress) -> list[PromptReading]:
    """What each term of a blend asks for, which is told.

    Raises:
        UsageError: a model without blends, or a term it does not know.
    """
    check_takes(generator, "blend")
    readings = [generator.reading_of(term) for term in terms]
    for reading in readings:
        _say_reading(generator, reading, progress)
    return readings


def asking_of(generator: FaceGenerator) -> Asking:
    """How the model is asked, as its conditioner says; of one from elsewhere that does not, by its looks."""
    if generator.asking is not None:
        return generator.asking
    named = {"attributes": generator.attributes, "class": generator.classes}
    words = ("prompt", "negative", "blend", *(way for way in named if named[way]))
    options = ("like", "between") if generator.takes_pictures else words
    return Asking(options, generator.trained_on, "")


def check_takes(generator: FaceGenerator, option: str) -> None:
    """Refuse `--<option>` for a model of another kind; a conditioner that does not say judges for itself.

    Raises:
        UsageError: says what the model was trained on and how it can be asked.
    """
    told = generator.asking
    if told is not None and option not in told.options:
        raise UsageError(
            f"--{option} does not fit this model: it was trained on {told.trained_on}.", hint=told.instead
        )


def parse_blend(text: str, progress: Progress) -> dict[str, float]:
    """Terms and weights of "Asian:0.5,White:0.5", scaled to sum to 1, which is said.

    Raises:
        UsageError: written otherwise, a term twice, fewer than two, or weights that are no mix.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        term, separator, number = (piece.strip() for piece in part.rpartition(":"))
        try:
            weight = float(number)
        except ValueError:
            term = ""
            weight = 0.0
        if not separator or not term:
            raise UsageError(
                f"--blend takes NAME:WEIGHT,NAME:WEIGHT, not '{part.strip()}'.", hint=BLEND_EXAMPLE
            )
        if term in weights:
            raise UsageError(f"--blend names '{term}' twice.", hint=BLEND_EXAMPLE)
        weights[term] = weight
    if len(weights) < 2:
        raise UsageError("--blend mixes at least two.", hint=BLEND_EXAMPLE)
    check_blend_weights(weights)
    total = sum(weights.values())
    scaled = {term: weight / total for term, weight in weights.items()}
    if abs(total - 1) > 1e-6:
        told = ", ".join(f"{term} {weight:.3g}" for term, weight in scaled.items())
        progress.say(f"The weights sum to {total:g} and are scaled: {told}.")
    return scaled


def request_text(labels: Mapping[str, float]) -> str:
    """Labels as words, such as "Smiling, no Eyeglasses"."""
    return ", ".join(name if value > 0 else f"no {name}" for name, value in labels.items())


def explain(generator: FaceGenerator | None, prompt: str) -> Explanation:
    """How a model reads `prompt`, or without one how CelebA's attributes do; nothing is drawn.

    A prompt that `facegen sample` would refuse has a `refusal`; of free text, `notes` say which words the
    model hardly notices.

    Raises:
        UsageError: the model is not asked in words.
    """
    if generator is None:
        known, read_by = f"CelebA's attributes are: {', '.join(CELEBA.attributes)}.", "CelebA's 40 attributes"
        explanation = explain_prompt(prompt, CELEBA)
    else:
        check_takes(generator, "prompt")
        known, read_by = _known(generator), f"this model: it was trained on {generator.trained_on}"
        explanation = generator.explain(prompt)
    refusal = explanation.refusal or _refusal(explanation.prompt, explanation.reading, known)
    notes = word_effects(generator, prompt).notes if generator is not None and refusal is None else ()
    return replace(explanation, refusal=refusal, read_by=read_by, notes=notes)


def _refusal(prompt: str, reading: PromptReading, known: str) -> UsageError | None:
    """Of a prompt of which nothing was understood."""
    if reading.labels or not reading.not_understood:
        return None
    return UsageError(f"Nothing in '{prompt}' was understood: {reading.left_over}.", hint=known)


def _read_prompt(generator: FaceGenerator, prompt: str, progress: Progress) -> PromptReading:
    reading = generator.read(prompt)
    refusal = _refusal(prompt, reading, _known(generator))
    if refusal is not None:
        raise refusal
    _say_reading(generator, reading, progress)
    return reading


def _say_reading(generator: FaceGenerator, reading: PromptReading, progress: Progress) -> None:
    """Tell what was understood, and warn about what was not."""
    if reading.understood:
        understood = ", ".join(f"'{words}' as {meaning}" for words, meaning in reading.understood)
        progress.say(f"Understood: {understood}.")
    if reading.not_understood:
        progress.warn(f"Not understood and left out: {reading.left_over}. {_known(generator)}")


def _known(generator: FaceGenerator) -> str:
    if generator.classes:
        return f"This model knows the classes {', '.join(generator.classes)}."
    if generator.attributes:
        return f"This model knows: {', '.join(generator.attributes)}."
    return f"This model was trained on {generator.trained_on}."
