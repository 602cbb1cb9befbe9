"""What an image says about how it was made, and reading it back: JSON in the PNG's text entry "facegen"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

import facegen
from facegen.config.documents import parse_json
from facegen.config.recipe import SamplingConfig
from facegen.errors import DataError
from facegen.formats.checkpoint import Weights
from facegen.formats.far import shared_path
from facegen.formats.images import read_png_text
from facegen.models.generator import FaceGenerator
from facegen.sampling.options import EditOptions, SampleRequest
from facegen.sampling.plan import Face, Plan

SETTINGS_KEY = "facegen"  # of the PNG's text entry
SETTINGS_FORMAT_VERSION = 3  # 1 had no run, no places of photos, and did not tell a grid from an image
DRAWN_FORMAT_VERSION = 2  # of all that is not edited, which earlier versions of facegen read, too
MOST_IMAGES = 1_000_000  # of one request; more in a file is damage

Shows = Literal["image", "grid", "strip"]


def image_settings(
    generator: FaceGenerator,
    settings: SamplingConfig,
    request: SampleRequest,
    plan: Plan,
    *,
    negative: str | None = None,
    weights: Weights = "ema",
) -> dict[str, Any]:
    """All that the images of `plan` have in common, as JSON: model, request, way of sampling, versions.

    `weights` are those the generator was loaded with. `text_entry` turns it into what a PNG carries.
    """
    return {
        "format_version": DRAWN_FORMAT_VERSION,
        **_made_by(generator, weights),
        "prompt": None,
        "attributes": request.attributes,
        "class": request.class_name,
        "labels": {},
        **plan.told,
        "negative": negative,
        **settings.model_dump(mode="json"),
        "seed": request.seed,
        "count": len(plan.faces),
        "device": str(generator.device),
    }


def edit_settings(
    generator: FaceGenerator,
    settings: SamplingConfig,
    options: EditOptions,
    edit: EditSettings,
) -> dict[str, Any]:
    """All that the pictures of an edit share, as JSON; that of one picture has an `edit` of one strength."""
    return {
        "format_version": SETTINGS_FORMAT_VERSION,
        **_made_by(generator, options.weights),
        "prompt": options.prompt,
        "attributes": options.attributes,
        "class": options.class_name,
        "labels": edit.wanted,
        "edit": edit.model_dump(mode="json"),
        "crop": options.crop,
        **settings.model_dump(mode="json"),
        "seed": 0,
        "count": len(edit.strengths),
        "device": str(generator.device),
    }


def _made_by(generator: FaceGenerator, weights: Weights) -> dict[str, Any]:
    return {
        "facegen_version": facegen.__version__,
        "torch_version": torch.__version__,
        "run": None if generator.source is None else shared_path(generator.source),
        "model_sha256": generator.weights_sha256,
        "step": generator.step,
        "weights": weights,
    }


def text_entry(described: dict[str, Any], shows: Shows, face: Face | None = None) -> dict[str, str]:
    """The PNG text entry of one image, with its face's own facts and seed, or of a picture made of many."""
    own = {} if face is None else {**face.facts, "seed": face.seed}
    return {SETTINGS_KEY: json.dumps({**described, **own, "shows": shows}, ensure_ascii=False)}


class PhotoReference(BaseModel):
    """A photo that was asked with: its name, its path if it lay in the folder one was in, and its sha256."""

    model_config = ConfigDict(frozen=True)

    file: str
    path: str | None = None
    sha256: str


class EditSettings(BaseModel):
    """What a photo was told to show, what it was asked for in place of that, and where it might change: by a
    mask, or a share of it that was found.

    `wanted` are the labels that were asked for by name, `strengths` one of an image, all of a strip.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    photo: PhotoReference
    mask: PhotoReference | None = None
    region: float | None = Field(default=None, gt=0, le=1)
    told: dict[str, float]
    asked: dict[str, float]
    wanted: dict[str, float]
    strengths: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(min_length=1)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value  # an image's own photo, or all of a grid's


class ImageSettings(BaseModel):
    """The settings an image carries; None is what its format version does not tell."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, protected_namespaces=())

    format_version: int
    facegen_version: str
    torch_version: str | None = None
    run: Path | None = None
    model_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    step: int | None = None
    weights: Weights = "ema"
    prompt: str | None = None
    attributes: str | None = None
    class_name: str | None = Field(default=None, alias="class")
    labels: dict[str, float] = {}
    blend: dict[str, float] | None = None
    like: Annotated[tuple[PhotoReference, ...], BeforeValidator(_listed)] = ()
    between: tuple[PhotoReference, PhotoReference] | None = None
    edit: EditSettings | None = None
    crop: str = "center"
    frames: int | None = Field(default=None, ge=2, le=MOST_IMAGES)
    position: float | None = Field(default=None, ge=0, le=1)
    negative: str | None = None
    sampler: dict[str, Any]
    steps: int = Field(ge=1)
    guidance_scale: float = Field(ge=0)
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    guidance_from: Literal["model", "weak"] = "model"
    clip_x0: float | None = Field(default=None, gt=0)
    seed: int = Field(ge=0, lt=2**63)
    count: int = Field(ge=1, le=MOST_IMAGES)
    device: str
    shows: Shows | None = None
    index: int | None = Field(default=None, ge=0)

    @property
    def sampling(self) -> SamplingConfig:
        """How it was sampled."""
        return SamplingConfig(**{name: getattr(self, name) for name in SamplingConfig.model_fields})

    @property
    def photos(self) -> tuple[PhotoReference, ...]:
        """Every photo that was asked with."""
        edited = () if self.edit is None else (self.edit.photo, *filter(None, (self.edit.mask,)))
        return (*self.like, *(self.between or ()), *edited)


def read_image_settings(path: Path) -> ImageSettings:
    """The settings that the PNG at `path` carries; those of older format versions are read too.

    Raises:
        DataError: no such file, not a PNG, no settings in it, damaged ones, or of a newer facegen.
    """
    if not Path(path).is_file():
        raise DataError(f"'{path}' is a folder." if Path(path).is_dir() else f"'{path}' does not exist.")
    try:
        text = read_png_text(Path(path)).get(SETTINGS_KEY)
    except DataError as error:
        raise DataError(
            f"'{path}' is not a PNG that can be read, and no other file carries facegen's settings.",
            hint="Give the PNG that facegen wrote, not a copy saved in another format.",
        ) from error
    if text is None:
        raise DataError(
            f"'{path}' carries no settings of facegen: its PNG has no text entry '{SETTINGS_KEY}'.",
            hint="Only PNGs that facegen made carry them, and only as long as no other program saves them "
            "anew: editors, messengers and websites remove them.",
        )
    try:
        data = parse_json(text)
    except ValueError as error:
        raise DataError(f"The settings in '{path}' are damaged: they are not JSON ({error}).") from error
    _check_version(path, data)
    try:
        return ImageSettings.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(f"The settings in '{path}' are damaged: '{where}': {first['msg']}.") from error


def _check_version(path: Path, data: Any) -> None:
    version = data.get("format_version") if isinstance(data, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DataError(f"The settings in '{path}' are damaged: they have no format version.")
    if version > SETTINGS_FORMAT_VERSION:
        raise DataError(
            f"The settings in '{path}' have format version {version}; this facegen {facegen.__version__} "
            f"reads up to {SETTINGS_FORMAT_VERSION}.",
            hint=f"Use the facegen that wrote them: {data.get('facegen_version', 'a later one')}.",
        )
