"""What can be asked of a generator in the studio, and the settings each wish stands for; no browser here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from facegen.config.kinds import kind_config
from facegen.errors import DataError, UsageError
from facegen.formats.checkpoint import Weights
from facegen.models.generator import FaceGenerator
from facegen.sampling.options import EditOptions
from facegen.sampling.photos import Photo, read_photo
from facegen.sampling.request import asking_of
from facegen.sampling.sample import SampleOptions

Way = Literal["faces", "compare", "blend", "photo"]
Stand = Literal["open", "yes", "no"]

MAX_PICTURES = 64
MAX_STEPS = 1000
MAX_PICTURE_STEPS = 16_000  # pictures times steps: 64 of them in 250
MAX_CHARACTERS = 500  # of a prompt, and of whatever else is said in words
TOO_LONG = f"{{}} must be at most {MAX_CHARACTERS} characters."
MAX_SEED = 2**53 - 1 - MAX_PICTURES  # a browser counts no further without error
CROPS = ("center", "face", "none")


@dataclass(frozen=True)
class Controls:
    """What a model can be asked with, and what it samples with where nothing else is said."""

    ways: tuple[Way, ...]
    takes_prompt: bool
    takes_negative: bool
    few_steps: tuple[int, ...]  # the only ones it draws in, without guidance; empty: any
    attributes: tuple[str, ...]
    classes: tuple[str, ...]
    guidance: float
    steps: int
    sampler: str
    why_no_photos: str | None  # None where photos can be varied or edited
    edits: bool  # whether a photo is edited by words, instead of varied
    places: bool  # whether it can be told where a photo may change: samples are maps

    @staticmethod
    def of(generator: FaceGenerator) -> Controls:
        """The controls that fit this generator's conditioner."""
        takes = asking_of(generator).options
        pictures = "like" in takes
        words = [name for name in ("prompt", "attributes", "class") if name in takes]
        ways: list[Way] = [] if pictures else ["faces"]
        if words:
            ways.append("compare")
        if "blend" in takes:
            ways.append("blend")
        settings = generator.sampling
        edits = bool(words) and not generator.few_steps
        return Controls(
            ways=(*ways, "photo"),
            takes_prompt="prompt" in takes and "class" not in takes,  # a list of classes says it all
            takes_negative="negative" in takes and not generator.few_steps,
            few_steps=generator.few_steps,
            attributes=generator.attributes if "attributes" in takes else (),
            classes=generator.classes if "class" in takes else (),
            guidance=settings.guidance_scale,
            steps=settings.steps,
            sampler=kind_config("samplers", settings.sampler).kind,
            why_no_photos=None if pictures or edits else _why_no_photos(generator, words),
            edits=edits,
            places=edits and len(generator.sample_spec.shape) == 3,
        )


@dataclass(frozen=True)
class Wish:
    """Everything the page's switches say at one moment; the history keeps these.

    `changed` is what a comparison changes: an attribute, the other class, or the other words. `parts` are the
    terms and weights of a blend. An edit of the `photo` goes by its `strength` and `pull`, and `seen` is what
    it shows, in words. It may change where its `mask` is white, or in a found `region` of that share (0: in
    none), or anywhere. None takes the model's own setting.
    """

    way: Way = "faces"
    prompt: str = ""
    attributes: Mapping[str, Stand] = field(default_factory=dict)
    class_name: str | None = None
    changed: str = ""
    parts: tuple[tuple[str, float], ...] = ()
    photo: Path | None = None
    crop: str = "center"
    seen: str = ""
    strength: float = 0.8
    pull: float = 3.0
    mask: Path | None = None
    region: float = 0.0
    negative: str = ""
    count: int = 4
    seed: int = 0
    guidance: float | None = None
    steps: int | None = None
    sampler: str | None = None

    @property
    def title(self) -> str:
        """The wish in a few words, such as "a smiling woman, no Eyeglasses"."""
        if self.way == "photo":
            name, words = self.photo.name if self.photo else "a photo", self._words
            return f"{name}: {words}" if words else f"variations of {name}"
        if self.way == "blend":
            total = sum(weight for _, weight in self.parts) or 1.0
            return ", ".join(
                f"{shown(term)} {100 * weight / total:.0f} %" for term, weight in self.parts if weight
            )
        title = self._words or "any face"
        if self._toggled:
            return f"{title}, with and without {shown(self.changed)}"
        return f"{title} / {self.changed}" if self.way == "compare" else title

    @property
    def _words(self) -> str:
        words = [self.prompt.strip(), self.class_name or ""]
        asked = [(name, stand) for name, stand in self.attributes.items() if name != self._toggled]
        words += [
            shown(name) if stand == "yes" else f"no {shown(name)}" for name, stand in asked if stand != "open"
        ]
        return ", ".join(word for word in words if word)

    @property
    def _toggled(self) -> str:
        return self.changed if self.way == "compare" and self.changed in self.attributes else ""


@dataclass(frozen=True)
class Asked:
    """One column of pictures: what tells it from its neighbour ("" where there is none), and its options."""

    caption: str
    options: SampleOptions


def asked_by(wish: Wish, controls: Controls, weights: Weights = "ema") -> tuple[Asked, ...]:
    """The samples a wish asks for: one, or two that share their noise where it compares.

    Raises:
        UsageError: something is missing, or a number is out of range; says which.
    """
    _check(wish, controls, wish.count * (2 if wish.way == "compare" else 1))
    if wish.way not in controls.ways:
        raise UsageError("This model cannot be asked that way.")
    if wish.negative.strip() and (controls.guidance if wish.guidance is None else wish.guidance) == 1:
        raise UsageError("Steering away from words acts through guidance, which is off at 1: raise it.")
    common: dict[str, Any] = {
        "negative": wish.negative.strip() or None,
        "guidance": wish.guidance,
        "sampler": wish.sampler,
        "steps": wish.steps,
        "seed": wish.seed,
        "count": wish.count,
        "weights": weights,
    }
    if wish.way == "photo":
        return (Asked("", SampleOptions(like=(_photo_of(wish, controls),), crop=wish.crop, **common)),)
    if wish.way == "blend":
        return (Asked("", SampleOptions(blend=_blend_of(wish.parts), **common)),)
    if wish.way == "compare":
        return _compared(wish, controls, common)
    return (Asked("", SampleOptions(**_words_of(wish), **common)),)


def edit_by(wish: Wish, controls: Controls, weights: Weights = "ema") -> tuple[Path, EditOptions]:
    """The photo and the options of an edit.

    Raises:
        UsageError: something is missing, or a number is out of range; says which.
    """
    _check(wish, controls, 1)
    words = _words_of(wish)
    _check_places(wish, asks=any(words.values()))
    options = EditOptions(
        **words,
        from_prompt=wish.seen.strip() or None,
        strength=(wish.strength,),
        mask=wish.mask,
        region=wish.region or None,
        crop=wish.crop,
        guidance=wish.pull,
        steps=wish.steps,
        weights=weights,
    )
    return _photo_of(wish, controls), options


def photo_of(path: Path, crop: str, size: int) -> Photo:
    """The photo as the model would see it.

    Raises:
        DataError: not a picture that can be read; names the file, not its folder.
        UsageError: there is no such crop.
    """
    try:
        return read_photo(path, crop, size)
    except DataError as error:
        raise DataError(str(error).replace(str(path), path.name)) from error


def shown(name: str) -> str:
    """An attribute's name for people: "Wearing_Hat" -> "Wearing hat"."""
    words = name.replace("5_o_Clock", "5 o'clock").replace("_", " ")
    return words[:1] + words[1:].lower()


def _why_no_photos(generator: FaceGenerator, words: list[str]) -> str:
    if words and generator.few_steps:
        return "This model cannot edit photos: it draws in few steps. The model that it was taught by can."
    learned = {"attributes": "attributes", "class": "classes", "prompt": "words"}
    what = next((learned[word] for word in ("attributes", "class", "prompt") if word in words), None)
    asked = f"it was trained on {what}" if what else "it was trained without any condition"
    return (
        f"This model cannot vary photos: {asked}. A model that can is trained with "
        "'facegen train --preset latent-vector --data LATENTS --run RUN'."
    )


def _words_of(wish: Wish) -> dict[str, Any]:
    stands = [(name, stand) for name, stand in wish.attributes.items() if stand != "open"]
    return {
        "prompt": wish.prompt.strip() or None,
        "attributes": ",".join(f"{name}={int(stand == 'yes')}" for name, stand in stands) or None,
        "class_name": wish.class_name or None,
    }


def _compared(wish: Wish, controls: Controls, common: dict[str, Any]) -> tuple[Asked, ...]:
    """The wish as it stands and with one thing changed, from the same seeds."""
    words = _words_of(wish)
    if controls.attributes:
        if wish.changed not in controls.attributes:
            raise UsageError("Choose the attribute to switch.")
        stands: tuple[Stand, ...] = ("no", "yes")
        wishes = [
            Wish(prompt=wish.prompt, attributes={**wish.attributes, wish.changed: stand}) for stand in stands
        ]
        captions = [f"{word} {shown(wish.changed)}" for word in ("without", "with")]
        pair = [_words_of(switched) for switched in wishes]
    elif controls.classes:
        if not wish.class_name or not wish.changed or wish.class_name == wish.changed:
            raise UsageError("Choose two different classes to compare.")
        captions = [wish.class_name, wish.changed]
        pair = [{**words, "prompt": None, "class_name": name} for name in captions]
    else:
        if not wish.changed.strip() or not words["prompt"]:
            raise UsageError("Say in words what both sides shall show.")
        captions = [words["prompt"], wish.changed.strip()]
        pair = [{**words, "prompt": prompt} for prompt in captions]
    return tuple(
        Asked(caption, SampleOptions(**each, **common)) for caption, each in zip(captions, pair, strict=True)
    )


def _blend_of(parts: tuple[tuple[str, float], ...]) -> str:
    used = [(term.strip(), weight) for term, weight in parts if term.strip() and weight > 0]
    if len(used) < 2:
        raise UsageError("A blend needs at least two parts whose sliders are above 0.")
    terms = [term for term, _ in used]
    for term in terms:
        if "," in term or ":" in term:
            raise UsageError(f"A part of a blend is written without commas and colons, not '{term}'.")
        if terms.count(term) > 1:
            raise UsageError(f"'{term}' is in the blend twice.")
    return ",".join(f"{term}:{weight:g}" for term, weight in used)


def _photo_of(wish: Wish, controls: Controls) -> Path:
    if controls.why_no_photos:
        raise UsageError(controls.why_no_photos)
    if wish.photo is None:
        raise UsageError("Choose a photo first.")
    return wish.photo


def _check(wish: Wish, controls: Controls, num_pictures: int) -> None:
    """Raises:
    UsageError: a number is out of range, or it is more than one drawing may ask for.
    """
    _check_words(wish)
    _check_numbers(wish)
    steps = controls.steps if wish.steps is None else wish.steps
    if num_pictures * steps > MAX_PICTURE_STEPS:
        raise UsageError(
            f"{num_pictures} pictures in {steps} steps are {num_pictures * steps:,} steps together, and "
            f"{MAX_PICTURE_STEPS:,} are the most: ask for fewer of either."
        )


def _check_places(wish: Wish, *, asks: bool) -> None:
    if wish.region and wish.mask is not None:
        raise UsageError("The mask says where the photo may change: clear it, or set its share to 0.")
    if wish.region and not asks:
        raise UsageError("Where the photo may change is found by what is asked, and nothing is: ask for it.")


def _check_words(wish: Wish) -> None:
    words = {
        "The prompt": wish.prompt,
        "What to steer away from": wish.negative,
        "What the photo shows": wish.seen,
        "What is compared": wish.changed,
        "A part of a blend": max((term for term, _ in wish.parts), key=len, default=""),
    }
    for name, text in words.items():
        if len(text) > MAX_CHARACTERS:
            raise UsageError(TOO_LONG.format(name))


def _check_numbers(wish: Wish) -> None:
    ranges = {
        "The number of pictures": (wish.count, 1, MAX_PICTURES),
        "The seed": (wish.seed, 0, MAX_SEED),
        "The number of steps": (wish.steps, 1, MAX_STEPS),
        "Guidance": (wish.guidance, 0, 100),
        "The strength": (wish.strength, 0.01, 1),
        "The pull": (wish.pull, 0, 100),
        "The share that may change": (wish.region or None, 0.01, 1),
    }
    for name, (value, least, most) in ranges.items():
        if value is not None and not least <= value <= most:
            raise UsageError(f"{name} must be from {least} to {most}, not {value:g}.")
