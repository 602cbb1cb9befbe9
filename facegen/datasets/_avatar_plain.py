"""Avatars of seventeen labels, each of which a person can tell at 64 pixels."""

from __future__ import annotations

import random
from typing import Any

from facegen.datasets._avatar_style import BACKGROUNDS, HAIR_COLORS, SKINS, AvatarDrawing, part, pick, shade

VIEW = (30, 4, 220)  # close on the face

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
FRAME_COLORS = {"Eyeglasses": "1f4fa8", "Sunglasses": "262e33", None: "262e33"}  # seen on every skin

ATTRIBUTES = (
    *("Smiling", "Mouth_Open", "Eyeglasses", "Sunglasses", "Wearing_Hat"),
    *HAIR_COLORS,
    *("Long_Hair", "Curly_Hair", "Bald", "Beard", "Mustache", "Pale_Skin", "Dark_Skin"),
)


def draw(seed: int, index: int) -> AvatarDrawing:
    """Choose avatar `index` of `seed`; it depends on these two numbers alone.

    A label is true only where it can be seen: under a hat there is no hair colour, no length and no
    baldness. `Mustache` is hair on the upper lip, which a beard has too; `Eyeglasses` are clear ones.
    """
    rng = random.Random(f"facegen-avatar/{seed}/{index}")
    head = pick(rng, TOP_WEIGHTS)
    hair_color = rng.choice(list(HAIR_COLORS))
    skin = rng.choice(list(SKINS))
    eyewear = pick(rng, EYEWEAR_WEIGHTS)
    facial_hair = pick(rng, FACIAL_HAIR_WEIGHTS)
    mouth = pick(rng, MOUTH_WEIGHTS[facial_hair])
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
        "backgroundColor": [shade(rng, rng.choice(BACKGROUNDS))],
        **part(rng, "top", TOPS[head]),
        **part(rng, "accessories", EYEWEAR[eyewear]),
        **part(rng, "facialHair", FACIAL_HAIR[facial_hair]),
    }
    true = {eyewear, skin}
    true |= {hair_color} if head in ("short", "long", "curly") else set()
    true |= {"hat": {"Wearing_Hat"}, "bald": {"Bald"}, "long": {"Long_Hair"}, "curly": {"Curly_Hair"}}.get(
        head, set()
    )
    true |= {"beard": {"Beard", "Mustache"}, "mustache": {"Mustache"}}.get(facial_hair, set())
    true |= {name for name, holds in zip(("Smiling", "Mouth_Open"), MOUTHS[mouth], strict=True) if holds}
    return AvatarDrawing(options, VIEW, {name: name in true for name in ATTRIBUTES})
