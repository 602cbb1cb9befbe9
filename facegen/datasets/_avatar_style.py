"""How an avatar is drawn, and which labels its drawing makes true.

Style "Avataaars" by Pablo Stanley (https://avataaars.com), free for personal and commercial use, from
`dicebear-styles`; rendered offline by `resvg-py`. No torch here: worker processes import this module.

An unknown variant name is accepted by the renderer and draws nothing, so the label would lie. Every
option is therefore checked against the style's own JSON before it is drawn.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

STYLE_NAME = "avataaars"
LICENCE = "Avataaars by Pablo Stanley (https://avataaars.com), free for personal and commercial use"
WHOLE_VIEW = 'viewBox="0 0 280 280"'
CLOSE_VIEW = 'viewBox="30 4 220 220"'

SKINS = {"Pale_Skin": "ffdbb4", None: "d79a64", "Dark_Skin": "6b4434"}
HAIR_COLORS = {
    "Black_Hair": "221a1a",
    "Brown_Hair": "995a2b",
    "Blond_Hair": "ecc94f",
    "Gray_Hair": "b3b4ba",
    "Red_Hair": "d3421c",
}
# top variants per kind of head; a bald head is drawn with topProbability 0
TOPS = {
    "short": ("shortFlat", "shortWaved"),
    "long": ("straight02", "straightAndStrand", "longButNotTooLong"),
    "curly": ("fro", "curly"),
    "hat": ("hat", "winterHat03"),
    "bald": (),
}
TOP_WEIGHTS = {"short": 0.26, "long": 0.27, "curly": 0.16, "hat": 0.17, "bald": 0.14}
# mouth variant -> (smiling, open)
MOUTHS = {
    "smile": (True, True),
    "twinkle": (True, False),
    "serious": (False, False),
    "screamOpen": (False, True),
}
# the small mouths cannot be told apart at 64 pixels among facial hair, so fewer are drawn there
MOUTH_WEIGHTS = {
    None: {"smile": 0.27, "twinkle": 0.23, "serious": 0.29, "screamOpen": 0.21},
    "mustache": {"smile": 0.45, "serious": 0.33, "screamOpen": 0.22},
    "beard": {"smile": 0.5, "serious": 0.5},
}
EYEWEAR = {
    "Eyeglasses": ("prescription01", "prescription02"),
    "Sunglasses": ("wayfarers", "sunglasses"),
    None: (),
}
EYEWEAR_WEIGHTS = {"Eyeglasses": 0.26, "Sunglasses": 0.18, None: 0.56}
FACIAL_HAIR = {"beard": ("beardMedium", "beardMajestic"), "mustache": ("moustacheMagnum",), None: ()}
FACIAL_HAIR_WEIGHTS = {"beard": 0.22, "mustache": 0.14, None: 0.64}
CLOTHES = ("shirtCrewNeck", "hoodie")
CLOTHES_COLORS = ("5199e4", "e0565b", "3c4f5c")
HAT_COLORS = ("25557c", "b5373f", "e3b23c")
BACKGROUNDS = ("b6dcf2", "cbbbe6", "c9eac6", "f3ead9")
FRAME_COLORS = {"Eyeglasses": "1f4fa8", "Sunglasses": "262e33", None: "262e33"}  # seen on every skin

ATTRIBUTES = (
    *("Smiling", "Mouth_Open", "Eyeglasses", "Sunglasses", "Wearing_Hat"),
    *HAIR_COLORS,
    *("Long_Hair", "Curly_Hair", "Bald", "Beard", "Mustache", "Pale_Skin", "Dark_Skin"),
)


@dataclass(frozen=True)
class AvatarDrawing:
    """The renderer's options of one avatar and the labels they make true."""

    options: dict[str, Any]
    attributes: dict[str, bool]


def draw(seed: int, index: int) -> AvatarDrawing:
    """Choose avatar `index` of `seed`; it depends on these two numbers alone.

    A label is true only where it can be seen: under a hat there is no hair colour, no length and no
    baldness. `Mustache` is hair on the upper lip, which a beard has too; `Eyeglasses` are clear ones.
    """
    rng = random.Random(f"facegen-avatar/{seed}/{index}")
    head = _pick(rng, TOP_WEIGHTS)
    hair_color = rng.choice(list(HAIR_COLORS))
    skin = rng.choice(list(SKINS))
    eyewear = _pick(rng, EYEWEAR_WEIGHTS)
    facial_hair = _pick(rng, FACIAL_HAIR_WEIGHTS)
    mouth = _pick(rng, MOUTH_WEIGHTS[facial_hair])
    options: dict[str, Any] = {
        "skinColor": [SKINS[skin]],
        "hairColor": [HAIR_COLORS[hair_color]],
        "facialHairColor": [HAIR_COLORS[hair_color]],
        "hatColor": [rng.choice(HAT_COLORS)],
        "mouthVariant": [mouth],
        "eyesVariant": ["default"],
        "eyebrowsVariant": ["defaultNatural"],
        "clothesVariant": [rng.choice(CLOTHES)],
        "clothesColor": [rng.choice(CLOTHES_COLORS)],
        "accessoriesColor": [FRAME_COLORS[eyewear]],
        "backgroundColor": [_shade(rng, rng.choice(BACKGROUNDS))],
        **_part(rng, "top", TOPS[head]),
        **_part(rng, "accessories", EYEWEAR[eyewear]),
        **_part(rng, "facialHair", FACIAL_HAIR[facial_hair]),
    }
    true = {eyewear, skin}
    true |= {hair_color} if head in ("short", "long", "curly") else set()
    true |= {"hat": {"Wearing_Hat"}, "bald": {"Bald"}, "long": {"Long_Hair"}, "curly": {"Curly_Hair"}}.get(
        head, set()
    )
    true |= {"beard": {"Beard", "Mustache"}, "mustache": {"Mustache"}}.get(facial_hair, set())
    true |= {name for name, holds in zip(("Smiling", "Mouth_Open"), MOUTHS[mouth], strict=True) if holds}
    return AvatarDrawing(options, {name: name in true for name in ATTRIBUTES})


def render_avatar(seed: int, index: int, size: int) -> bytes:
    """The PNG bytes of avatar `index` of `seed`, `size` pixels wide."""
    return render(draw(seed, index).options, size)


def render(options: dict[str, Any], size: int) -> bytes:
    """Draw one avatar as PNG bytes, `size` x `size`, cropped close on the face.

    Raises:
        ValueError: an option or variant that the style does not have.
    """
    import resvg_py
    from dicebear import Avatar

    check_options(options)
    svg = str(Avatar(_style(), options))
    if WHOLE_VIEW not in svg:
        raise ValueError(f"the {STYLE_NAME} style no longer has {WHOLE_VIEW}")
    close = svg.replace(WHOLE_VIEW, CLOSE_VIEW, 1)
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


@lru_cache(maxsize=1)
def _style() -> Any:
    from dicebear import Style

    return Style(style_json())


def _pick(rng: random.Random, weights: dict[Any, float]) -> Any:
    return rng.choices(list(weights), weights=list(weights.values()))[0]


def _part(rng: random.Random, component: str, variants: tuple[str, ...]) -> dict[str, Any]:
    if not variants:
        return {f"{component}Probability": 0}
    return {f"{component}Variant": [rng.choice(variants)], f"{component}Probability": 100}


def _shade(rng: random.Random, color: str) -> str:
    """A nearby shade, so that two avatars of one description are still two pictures."""
    channels = [int(color[start : start + 2], 16) + rng.randint(-8, 8) for start in (0, 2, 4)]
    return "".join(f"{min(255, max(0, channel)):02x}" for channel in channels)
