"""How an avatar is drawn, and the colours it is drawn in.

Style "Avataaars" by Pablo Stanley (https://avataaars.com), free for personal and commercial use, from
`dicebear-styles`; rendered offline by `resvg-py`. No torch here: worker processes import this module.

An unknown variant name is accepted by the renderer and draws nothing, so the label would lie. Every
option is therefore checked against the style's own JSON before it is drawn.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, TypeVar

STYLE_NAME = "avataaars"
LICENCE = "Avataaars by Pablo Stanley (https://avataaars.com), free for personal and commercial use"
WHOLE_VIEW = 'viewBox="0 0 280 280"'

SKINS = {"Pale_Skin": "ffdbb4", None: "d79a64", "Dark_Skin": "6b4434"}
HAIR_COLORS = {
    "Black_Hair": "221a1a",
    "Brown_Hair": "995a2b",
    "Blond_Hair": "ecc94f",
    "Gray_Hair": "b3b4ba",
    "Red_Hair": "d3421c",
}
BACKGROUNDS = ("b6dcf2", "cbbbe6", "c9eac6", "f3ead9")

Picked = TypeVar("Picked")


@dataclass(frozen=True)
class AvatarDrawing:
    """The renderer's options of one avatar, the part of the drawing that is shown, as left edge, upper edge
    and side of a square of the style's 280 x 280, and the labels that they make true."""

    options: dict[str, Any]
    view: tuple[int, int, int]
    attributes: dict[str, bool]


def render(options: dict[str, Any], size: int, view: tuple[int, int, int]) -> bytes:
    """Draw one avatar as PNG bytes, `size` x `size`.

    Raises:
        ValueError: an option or variant that the style does not have.
    """
    import resvg_py
    from dicebear import Avatar

    check_options(options)
    svg = str(Avatar(_style(), options))
    if WHOLE_VIEW not in svg:
        raise ValueError(f"the {STYLE_NAME} style no longer has {WHOLE_VIEW}")
    left, top, side = view
    close = svg.replace(WHOLE_VIEW, f'viewBox="{left} {top} {side} {side}"', 1)
    return bytes(resvg_py.svg_to_bytes(svg_string=close, width=size, height=size, skip_system_fonts=True))


def check_options(options: dict[str, Any]) -> None:
    """Check every option against the style's own JSON.

    Raises:
        ValueError: an unknown option, component, variant or colour.
    """
    style = style_json()
    for key, value in options.items():
        component = key.removesuffix("Variant").removesuffix("Probability")
        if key.endswith("Color"):
            known = key.removesuffix("Color") in {*style["colors"], "background"}
        else:
            known = component != key and component in style["components"]
        if not known:
            raise ValueError(f"the {STYLE_NAME} style has no option '{key}'")
        if key.endswith("Variant"):
            for variant in value:
                if variant not in style["components"][component]["variants"]:
                    raise ValueError(f"the {STYLE_NAME} style has no {component} '{variant}'")


@lru_cache(maxsize=1)
def style_json() -> dict[str, Any]:
    """The style's own description, from `dicebear-styles`."""
    return json.loads((files("dicebear_styles") / f"{STYLE_NAME}.json").read_text(encoding="utf-8"))


def pick(rng: random.Random, weights: Mapping[Picked, float]) -> Picked:
    """One of the keys, as often as its weight says."""
    return rng.choices(list(weights), weights=list(weights.values()))[0]


def part(rng: random.Random, component: str, variants: Sequence[str]) -> dict[str, Any]:
    """The options of a part that may be away: with one of `variants`, or without where there are none."""
    if not variants:
        return {f"{component}Probability": 0}
    return {f"{component}Variant": [rng.choice(variants)], f"{component}Probability": 100}


def shade(rng: random.Random, color: str) -> str:
    """A nearby shade, so that two avatars of one description are still two pictures."""
    channels = [int(color[start : start + 2], 16) + rng.randint(-8, 8) for start in (0, 2, 4)]
    return "".join(f"{min(255, max(0, channel)):02x}" for channel in channels)


@lru_cache(maxsize=1)
def _style() -> Any:
    from dicebear import Style

    return Style(style_json())
