"""What a picture's own settings say, as a wish: a PNG that facegen made brings its settings back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facegen.errors import DataError, UsageError
from facegen.sampling.png_settings import ImageSettings, read_image_settings
from facegen.studio.state import MAX_PICTURES, Controls, Stand, Wish
from facegen.types import LabelSchema
from facegen.vocabulary.prompts import read_attributes


def recalled(path: Path, controls: Controls) -> tuple[Wish, ImageSettings]:
    """The wish that a picture was drawn for, and all its settings. Photos and masks have to be chosen anew.

    Raises:
        DataError: not a PNG that facegen made, a damaged one, or of a newer facegen.
        UsageError: a picture that this studio or its model cannot be asked for.
    """
    try:
        settings = read_image_settings(path)
    except DataError as error:
        raise DataError(str(error).replace(str(path), path.name)) from error
    if settings.between is not None:
        raise UsageError(f"'{path.name}' is of a walk between two photos, which the studio does not draw.")
    way: Any = "faces"
    if settings.blend is not None:
        way = "blend"
    elif settings.like or settings.edit is not None:
        way = "photo"
    if way not in controls.ways or (settings.like and controls.edits):
        raise UsageError(f"'{path.name}' was drawn by a model that is asked in another way than this one.")
    common: dict[str, Any] = {
        "way": way,
        "prompt": settings.prompt or "",
        "attributes": _stands(settings.attributes, controls),
        "class_name": _class_of(settings, controls),
        "crop": settings.crop,
        "negative": settings.negative or "",
        "count": min(settings.count, MAX_PICTURES),
        "seed": settings.seed,
        "steps": settings.steps,
    }
    if settings.edit is not None:
        own = {"guidance": controls.guidance, "sampler": controls.sampler, "count": 1}
        edit = {"strength": settings.edit.strengths[-1], "pull": settings.guidance_scale}
        if controls.places:
            edit["region"] = settings.edit.region or 0.0
        return Wish(**{**common, **own, **edit}), settings
    drawn = {"guidance": settings.guidance_scale, "sampler": str(settings.sampler.get("kind"))}
    return Wish(parts=_parts(settings, controls), **common, **drawn), settings


def _stands(attributes: str | None, controls: Controls) -> dict[str, Stand]:
    if attributes is None:
        return {}
    labels = read_attributes(attributes, LabelSchema(controls.attributes)).labels
    return {name: "yes" if value > 0 else "no" for name, value in labels.items()}


def _class_of(settings: ImageSettings, controls: Controls) -> str | None:
    name = settings.class_name
    if name is not None and name not in controls.classes:
        raise UsageError(
            f"This model knows no class '{name}'.", hint=f"It knows: {', '.join(controls.classes)}."
        )
    return name


def _parts(settings: ImageSettings, controls: Controls) -> tuple[tuple[str, float], ...]:
    """Terms and weights in the order of the panel's rows: of classes one each."""
    weights = {term: 100 * weight for term, weight in (settings.blend or {}).items()}
    if controls.classes and weights:
        return tuple((name, weights.get(name, 0.0)) for name in controls.classes)
    return tuple(weights.items())
