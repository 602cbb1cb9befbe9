"""Avatars of fifty-nine labels, which a person can tell at 128 pixels."""

from __future__ import annotations

import random
from typing import Any

from facegen.datasets._avatar_style import (
    BACKGROUNDS,
    HAIR_COLORS,
    SKINS,
    AvatarDrawing,
    part,
    pick,
    shade,
)

VIEW = (20, 4, 240)  # wide enough for collars

HAIR = {**HAIR_COLORS, "Pink_Hair": "f08cb4"}
SHOWS_HAIR, HIDES_HAIR = True, False
WINTER_HATS = ("winterHat02", "winterHat03", "winterHat1")
# kind of head -> weight, variants of the top, whether hair is seen, what is true; without a top it is bald
HEADS: dict[str, tuple[float, tuple[str, ...], bool, tuple[str, ...]]] = {
    "short": (0.19, ("shortFlat", "shortWaved", "shortRound", "theCaesar"), SHOWS_HAIR, ()),
    "long": (0.14, ("straight01", "straight02", "straightAndStrand"), SHOWS_HAIR, ("Long_Hair",)),
    "wavy": (0.05, ("curvy",), SHOWS_HAIR, ("Long_Hair", "Wavy_Hair")),
    "dreadlocks": (0.05, ("dreads",), SHOWS_HAIR, ("Long_Hair", "Dreadlocks")),
    "curly": (0.08, ("fro", "curly"), SHOWS_HAIR, ("Curly_Hair",)),
    "headband": (0.05, ("froBand",), SHOWS_HAIR, ("Curly_Hair", "Headband")),
    "bob": (0.06, ("bob", "miaWallace"), SHOWS_HAIR, ("Bob_Cut",)),
    "bun": (0.05, ("bun",), SHOWS_HAIR, ("Hair_Bun",)),
    "receding": (0.05, ("sides",), SHOWS_HAIR, ("Receding_Hairline",)),
    "flowers": (0.04, ("frida",), SHOWS_HAIR, ("Flower_Crown",)),
    "bald": (0.07, (), HIDES_HAIR, ("Bald",)),
    "hat": (0.06, ("hat",), HIDES_HAIR, ("Wearing_Hat",)),
    "winter hat": (0.07, WINTER_HATS, HIDES_HAIR, ("Wearing_Hat", "Winter_Hat")),
    "hijab": (0.04, ("hijab",), HIDES_HAIR, ("Hijab",)),
    "turban": (0.04, ("turban",), HIDES_HAIR, ("Turban",)),
}
HATS = ("hat", "winter hat")
HAT_COLORS = {
    "Red_Hat": "c2353d",
    "Blue_Hat": "2a66b8",
    "Yellow_Hat": "e8b93c",
    "Green_Hat": "3f9658",
    "Black_Hat": "2a2c31",
}
# eyewear -> weight, variants, what is true
EYEWEAR: dict[str, tuple[float, tuple[str, ...], tuple[str, ...]]] = {
    "none": (0.56, (), ()),
    "glasses": (0.14, ("prescription01", "prescription02"), ("Eyeglasses",)),
    "round": (0.10, ("round",), ("Eyeglasses", "Round_Glasses")),
    "sunglasses": (0.14, ("wayfarers", "sunglasses", "kurt"), ("Sunglasses",)),
    "eyepatch": (0.06, ("eyepatch",), ("Eyepatch",)),
}
HIDES_EYES = ("sunglasses", "eyepatch")
RAISED = "raisedExcitedNatural"
COVERS_RAISED = ("winterHat03", "miaWallace")  # a brim, and a fringe, where raised eyebrows are
COVERS_STRAPS = ("dreads", "curvy")  # with a beard between them nothing is left to be seen of overalls
FRAME_COLORS = ("262e33", "1f4fa8", "b0303a")
# variant -> weight, what is true
EYES: dict[str, tuple[float, tuple[str, ...]]] = {
    "default": (0.44, ()),
    "closed": (0.07, ("Closed_Eyes",)),
    "wink": (0.07, ("Winking",)),
    "hearts": (0.07, ("Heart_Eyes",)),
    "surprised": (0.07, ("Wide_Eyes",)),
    "squint": (0.07, ("Narrow_Eyes",)),
    "side": (0.07, ("Looking_Aside",)),
    "eyeRoll": (0.07, ("Rolling_Eyes",)),
    "cry": (0.07, ("Crying",)),
}
EYEBROWS: dict[str, tuple[float, tuple[str, ...]]] = {
    "defaultNatural": (0.55, ()),
    RAISED: (0.15, ("Raised_Eyebrows",)),
    "angryNatural": (0.15, ("Angry_Eyebrows",)),
    "sadConcernedNatural": (0.15, ("Sad_Eyebrows",)),
}
MOUTHS: dict[str, tuple[float, tuple[str, ...]]] = {
    "smile": (0.23, ("Smiling", "Mouth_Open")),
    "twinkle": (0.20, ("Smiling",)),
    "serious": (0.22, ()),
    "screamOpen": (0.11, ("Mouth_Open",)),
    "sad": (0.09, ("Frowning",)),
    "grimace": (0.08, ("Showing_Teeth",)),
    "tongue": (0.07, ("Smiling", "Mouth_Open", "Tongue_Out")),
}
FACIAL_HAIR: dict[str, tuple[float, tuple[str, ...], tuple[str, ...]]] = {
    "none": (0.68, (), ()),
    "beard": (0.20, ("beardMedium", "beardMajestic", "beardLight"), ("Beard", "Mustache")),
    "mustache": (0.12, ("moustacheMagnum", "moustacheFancy"), ("Mustache",)),
}
CLOTHES: dict[str, tuple[float, tuple[str, ...], tuple[str, ...]]] = {
    "shirt": (0.40, ("shirtCrewNeck", "shirtScoopNeck", "shirtVNeck"), ()),
    "hoodie": (0.17, ("hoodie",), ("Hoodie",)),
    "blazer": (0.17, ("blazerAndShirt",), ("Blazer",)),
    "overalls": (0.12, ("overall",), ("Overalls",)),
    "sweater": (0.14, ("collarAndSweater",), ("Collared_Sweater",)),
}
CLOTHES_COLORS = {
    "Red_Clothes": "d8454f",
    "Blue_Clothes": "4a90e2",
    "Green_Clothes": "3fa468",
    "Yellow_Clothes": "f0c04a",
    "Black_Clothes": "2c2f36",
    "White_Clothes": "f4f4f2",
}

ATTRIBUTES = (
    *("Smiling", "Mouth_Open", "Frowning", "Showing_Teeth", "Tongue_Out"),
    *(name for _, true in EYES.values() for name in true),
    *(name for _, true in EYEBROWS.values() for name in true),
    *("Eyeglasses", "Round_Glasses", "Sunglasses", "Eyepatch"),
    *HAIR,
    *(
        "Long_Hair",
        "Wavy_Hair",
        "Curly_Hair",
        "Dreadlocks",
        "Bob_Cut",
        "Hair_Bun",
        "Receding_Hairline",
        "Bald",
    ),
    *("Headband", "Flower_Crown", "Hijab", "Turban", "Wearing_Hat", "Winter_Hat"),
    *HAT_COLORS,
    *("Beard", "Mustache", "Pale_Skin", "Dark_Skin"),
    *("Hoodie", "Blazer", "Overalls", "Collared_Sweater"),
    *CLOTHES_COLORS,
)


def draw(seed: int, index: int) -> AvatarDrawing:
    """Choose avatar `index` of `seed`; it depends on these two numbers alone.

    A label is true only where it can be seen: as in the plain drawings, and behind dark glasses there is
    nothing to be told of eyes and eyebrows. What hair or a hat would cover is not drawn at all.
    """
    rng = random.Random(f"facegen-avatar-rich/{seed}/{index}")
    head = pick(rng, {kind: weight for kind, (weight, *_) in HEADS.items()})
    _, tops, shows_hair, true_of_head = HEADS[head]
    hair, skin, hat = rng.choice(list(HAIR)), rng.choice(list(SKINS)), rng.choice(list(HAT_COLORS))
    eyewear = pick(rng, {kind: weight for kind, (weight, *_) in EYEWEAR.items()})
    eyes = pick(rng, {variant: weight for variant, (weight, _) in EYES.items()})
    eyebrows = pick(rng, {variant: weight for variant, (weight, _) in EYEBROWS.items()})
    if eyewear in HIDES_EYES:
        eyes, eyebrows = "default", "defaultNatural"
    mouth = pick(rng, {variant: weight for variant, (weight, _) in MOUTHS.items()})
    facial_hair = pick(rng, {kind: weight for kind, (weight, *_) in FACIAL_HAIR.items()})
    clothes = pick(rng, {kind: weight for kind, (weight, *_) in CLOTHES.items()})
    clothes_color = rng.choice(list(CLOTHES_COLORS))
    robe = head == "hijab"  # which covers what is worn beneath
    options: dict[str, Any] = {
        "skinColor": [SKINS[skin]],
        "hairColor": [HAIR[hair]],
        "facialHairColor": [HAIR[hair]],
        "hatColor": [HAT_COLORS[hat]],
        "mouthVariant": [mouth],
        "eyesVariant": [eyes],
        "eyebrowsVariant": [eyebrows],
        "clothesVariant": ["shirtCrewNeck" if robe else rng.choice(CLOTHES[clothes][1])],
        "clothesColor": [HAT_COLORS[hat] if robe else CLOTHES_COLORS[clothes_color]],
        "accessoriesColor": ["262e33" if eyewear in HIDES_EYES else rng.choice(FRAME_COLORS)],
        "backgroundColor": [shade(rng, rng.choice(BACKGROUNDS))],
        **part(rng, "top", tops),
        **part(rng, "accessories", EYEWEAR[eyewear][1]),
        **part(rng, "facialHair", FACIAL_HAIR[facial_hair][1]),
    }
    (top,) = options["topVariant"] if tops else (None,)
    if top in COVERS_RAISED and eyebrows == RAISED:
        eyebrows = "defaultNatural"
        options["eyebrowsVariant"] = [eyebrows]
    if top in COVERS_STRAPS and facial_hair == "beard" and clothes == "overalls":
        clothes = "shirt"
        options["clothesVariant"] = ["shirtCrewNeck"]
    true: set[str | None] = {skin, *true_of_head, *EYEWEAR[eyewear][2], *EYES[eyes][1], *MOUTHS[mouth][1]}
    true |= {*EYEBROWS[eyebrows][1], *FACIAL_HAIR[facial_hair][2]}
    true |= set() if robe else {clothes_color, *CLOTHES[clothes][2]}
    true |= {hair} if shows_hair else set()
    true |= {hat} if head in HATS else set()
    return AvatarDrawing(options, VIEW, {name: name in true for name in ATTRIBUTES})
