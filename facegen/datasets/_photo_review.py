"""`review.html`: every face that was found, to look over; one file, no request to anywhere."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from jinja2 import Environment, PackageLoader, StrictUndefined

from facegen.datasets._photo_choice import face_id
from facegen.datasets._photo_search import SeenFace, SeenPhoto

TAKEN = "taken"
_EXCLUDED = "face excluded"
_ELSEWHERE = "not in the data set: by --limit, or for what rejects.csv says"


@dataclass(frozen=True)
class Tile:
    """One face on the page; `marked` says that it is on the list of faces to leave out."""

    id: str
    told: str
    picture: str
    marked: bool


@dataclass
class Section:
    """Faces that were taken, or left out for one reason; a click counts where `is_open`."""

    title: str
    is_open: bool
    tiles: list[Tile] = field(default_factory=list[Tile])


def review_page(photos: Mapping[str, SeenPhoto], reasons: Mapping[str, str], taken: Mapping[str, str]) -> str:
    """The page; `reasons` are "" for faces that were chosen, `taken` has those that are in the data set."""
    sections: dict[str, Section] = {}
    for name, photo in photos.items():
        for number, face in enumerate(photo.faces, start=1):
            id = face_id(name, number)
            why = reasons[id] or ("" if id in taken else _ELSEWHERE)
            title = why.split(":")[0].removeprefix("face ") or TAKEN
            excluded = why.startswith(_EXCLUDED)
            section = sections.setdefault(title, Section(title, title == TAKEN or excluded))
            section.tiles.append(Tile(id, _told(id, face, why), _picture(face), excluded))
    order = sorted(sections.values(), key=lambda section: (section.title != TAKEN, not section.is_open))
    without = [
        (name, photo.problem or "no face was found")
        for name, photo in photos.items()
        if photo.problem or not photo.faces
    ]
    environment = Environment(
        loader=PackageLoader("facegen.datasets", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("review.html").render(sections=order, without=without)


def _told(id: str, face: SeenFace, why: str) -> str:
    about = f"{face.pixels:.0f} pixels, sharpness {face.sharpness:.2f}, tilted {face.square.tilt:.0f}°"
    return f"{id}: {about}" + (f" ({why})" if why else "")


def _picture(face: SeenFace) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(face.thumb).decode()}"
