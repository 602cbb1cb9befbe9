"""Attributes that cannot be true of one picture together, so that asking for one gives up the other.

Only what the words themselves rule out. Attributes that merely seldom go together, such as a beard and
lipstick, are no conflict: whether a model can part them is what one wants to know.
"""

from __future__ import annotations

from itertools import product

HAIR_COLORS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Red_Hair", "Pink_Hair")
HAIR_SHAPES = ("Straight_Hair", "Wavy_Hair", "Curly_Hair", "Dreadlocks", "Bob_Cut", "Hair_Bun")
HAIR = (*HAIR_COLORS, *HAIR_SHAPES, "Long_Hair", "Bangs", "Headband", "Flower_Crown")
HIDING_HAIR = ("Wearing_Hat", "Bald", "Hijab", "Turban")  # with these there is no hair to be seen
HIDING_EYES = ("Sunglasses", "Eyepatch")
_EYES = (
    *("Closed_Eyes", "Winking", "Heart_Eyes", "Wide_Eyes", "Narrow_Eyes"),
    *("Looking_Aside", "Rolling_Eyes", "Crying"),
)
_EYEBROWS = ("Raised_Eyebrows", "Angry_Eyebrows", "Sad_Eyebrows")
_HAT_COLORS = ("Red_Hat", "Blue_Hat", "Yellow_Hat", "Green_Hat", "Black_Hat")
_GARMENTS = ("Hoodie", "Blazer", "Overalls", "Collared_Sweater")
_CLOTHES_COLORS = tuple(f"{color}_Clothes" for color in ("Red", "Blue", "Green", "Yellow", "Black", "White"))

# at most one of each group is true
_GROUPS = (
    HAIR_COLORS,
    HAIR_SHAPES,
    # labelled together in the drawn avatars alone, whose hair is one of these
    *product(("Long_Hair",), ("Curly_Hair", "Bob_Cut", "Hair_Bun")),
    *product(("Flower_Crown",), (*HAIR_SHAPES, "Long_Hair", "Headband", "Receding_Hairline")),
    *product(("Receding_Hairline",), ("Long_Hair", "Curly_Hair", "Dreadlocks", "Bob_Cut", "Hair_Bun")),
    *product(("Receding_Hairline",), ("Headband", "Hijab", "Turban")),
    *product(("Headband",), ("Wavy_Hair", "Dreadlocks", "Bob_Cut", "Hair_Bun", "Long_Hair")),
    HIDING_HAIR,
    *product(_HAT_COLORS, (*HAIR, "Bald", "Hijab", "Turban")),
    *product(("Winter_Hat",), (*HAIR, "Bald", "Hijab", "Turban")),
    ("Eyeglasses", "Sunglasses", "Eyepatch"),  # where they are labels, Eyeglasses are clear ones
    ("Round_Glasses", "Sunglasses", "Eyepatch"),
    _EYES,
    _EYEBROWS,
    *product(HIDING_EYES, (*_EYES, *_EYEBROWS)),
    ("Smiling", "Frowning", "Showing_Teeth"),
    *product(("Mouth_Open", "Tongue_Out"), ("Frowning", "Showing_Teeth")),
    _HAT_COLORS,
    _GARMENTS,
    _CLOTHES_COLORS,
    *product(("Hijab",), (*_GARMENTS, *_CLOTHES_COLORS)),
    ("Pale_Skin", "Dark_Skin"),
    *product(("No_Beard",), ("Beard", "Mustache", "Goatee", "Sideburns", "5_o_Clock_Shadow")),
    *product(HIDING_HAIR, HAIR),
)
_IMPLIED = {  # where both are labels
    "Beard": ("Mustache",),  # hair on the upper lip
    "Round_Glasses": ("Eyeglasses",),
    "Tongue_Out": ("Smiling", "Mouth_Open"),
    "Headband": ("Curly_Hair",),
    **dict.fromkeys(("Wavy_Hair", "Dreadlocks"), ("Long_Hair",)),
    **dict.fromkeys(("Winter_Hat", *_HAT_COLORS), ("Wearing_Hat",)),
}


def rivals_of(name: str) -> frozenset[str]:
    """Attributes that cannot be there where `name` is: of black hair, the other colours, a hat and a bald
    head."""
    return frozenset(other for group in _GROUPS if name in group for other in group if other != name)


def implied_by(name: str) -> tuple[str, ...]:
    """Attributes that are there wherever `name` is: of a beard, the mustache."""
    return _IMPLIED.get(name, ())


def hiders_of(name: str) -> tuple[str, ...]:
    """Attributes under which `name` cannot be seen either way: of hair, a hat and a bald head;
    of what eyes do, dark glasses."""
    if name in HAIR:
        return HIDING_HAIR
    return HIDING_EYES if name in _EYES or name in _EYEBROWS else ()
