"""Readers of what people write: prompts, options, recipes."""

from __future__ import annotations

from pathlib import Path

from support.fuzzed import mutations
from support.fuzzed.mutations import DEEP, LAUGHS
from support.fuzzed.reader import Reader, from_file, plainly

from facegen.config.composition import compose, preset_text
from facegen.datasets._avatar_rich import ATTRIBUTES
from facegen.plotting.options import read_places
from facegen.preparation.options import read_columns, read_splits
from facegen.progress import SilentProgress
from facegen.sampling.options import strengths
from facegen.sampling.request import parse_blend
from facegen.types import LabelSchema
from facegen.vocabulary.prompts import read_attributes, read_prompt
from facegen.vocabulary.words import AGE_GROUPS, CELEBA

KNOWN = (
    CELEBA,
    LabelSchema(ATTRIBUTES),
    LabelSchema(("Male",), {"race": ("White", "Black", "Asian"), "age_group": tuple(AGE_GROUPS)}),
)
PROMPTS = [
    "a smiling woman with blond hair, no glasses or hat",
    "neither smiling nor wearing a hat, 25-year-old man with long, curly black hair",
    "isn't smiling; w/o a t-shirt, beardless, in her early 40s, heart-shaped eyes & non-Asian",
    "An old man aged 70 but not bald, clean-shaven, without sunglasses or a red hat",
]
ASKED = ["Smiling=1,Eyeglasses=0,Male=no", "race=Asian,age_group=Senior,Male=yes"]
OPTIONS = [
    "Asian:0.5,White:0.5",
    "0.8,0.1,0.1",
    "Smiling=attr,race=label,class:mood=c7,none=notes",
    "0.5,0.75",
    "0.6,1",
]
SETTINGS = [
    *(
        "optimizer.lr=2e-4",
        "training.max_steps=5",
        "denoiser.kind=unet",
        "data.path=a: b",
        "ema.widths=[0.05, 0.1]",
    ),
    *(
        "sampling.sampler={kind: ddim, eta: 1}",
        "conditioner={kind: attributes}",
        "scoring.scores=[{kind: fid}]",
    ),
]
RECIPES = [
    preset_text(name)
    for name in ("avatars", "celeba-attributes", "text-ldm", "vae-gan", "attribute-classifier")
]
BOMBS = [
    LAUGHS,
    f"task: {DEEP}",
    "a: &a [*a]",
    "task: &t {kind: *t}",
    "task: {kind: denoising}\n? [a]\n: 1\n",
]


def _prompt(text: str) -> None:
    for labels in KNOWN:
        read_prompt(text, labels)


def _attributes(text: str) -> None:
    read_attributes(text, KNOWN[0] if "race" not in text else KNOWN[2])


def _set(text: str) -> None:
    compose("avatars", overrides=[text])


def _config(path: Path) -> None:
    compose(config_file=path)


def _config_on_preset(path: Path) -> None:
    compose("avatars", path, size="smoke")


READERS = [
    Reader("prompts", mutations.texts(PROMPTS), plainly(_prompt)),
    Reader("--attributes", mutations.texts(ASKED), plainly(_attributes)),
    Reader("--blend", mutations.texts(OPTIONS), plainly(lambda text: parse_blend(text, SilentProgress()))),
    Reader("--columns", mutations.texts(OPTIONS), plainly(read_columns)),
    Reader("--splits", mutations.texts(OPTIONS), plainly(read_splits)),
    Reader("--strength", mutations.texts(OPTIONS), plainly(strengths)),
    Reader("--at", mutations.texts(OPTIONS), plainly(lambda text: read_places([text]))),
    Reader("--set", mutations.texts(SETTINGS), plainly(_set)),
    Reader("recipes", mutations.text_files([*RECIPES, *BOMBS]), from_file("recipe.yaml", _config)),
    Reader("recipes on a preset", mutations.text_files(RECIPES), from_file("r.yaml", _config_on_preset)),
]
