"""Attributes that cannot be true of one picture together, so that asking for one gives up the other.

Only what the words themselves rule out. Attributes that merely seldom go together, such as a beard and
lipstick, are no conflict: whether a model can part them is what one wants to know.
"""

from __future__ import annotations

from itertools import product

HAIR_COLORS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Red_Hair")
HAIR_SHAPES = ("Straight_Hair", "Wavy_Hair", "Curly_Hair")
HAIR = (*HAIR_COLORS, *HAIR_SHAPES, "Long_Hair", "Bangs")
HIDING_HAIR = ("Wearing_Hat", "Bald")  # with these there is no hair to be seen

# at most one of each group is true
_GROUPS = (
    HAIR_COLORS,
    HAIR_SHAPES,
    ("Long_Hair", "Curly_Hair"),  # labelled together in the drawn avatars alone, which have one or the other
    HIDING_HAIR,
    ("Eyeglasses", "Sunglasses"),  # where both are labels, Eyeglasses are clear ones
    ("Pale_Skin", "Dark_Skin"),
    *product(("No_Beard",), ("Beard", "Mustache", "Goatee", "Sideburns", "5_o_Clock_Shadow")),
    *product(HIDING_HAIR, HAIR),
)
_IMPLIED = {"Beard": ("Mustache",)}  # where both are labels, a mustache is hair on the upper lip


def rivals_of(name: str) -> frozenset[str]:
    """Attributes that cannot be there where `name` is: of black hair, the other colours, a hat and a bald
    head."""
    return frozenset(other for group in _GROUPS if name in group for other in group if other != name)


def implied_by(name: str) -> tuple[str, ...]:
    """Attributes that are there wherever `name` is: of a beard, the mustache."""
    return _IMPLIED.get(name, ())


def hiders_of(name: str) -> tuple[str, ...]:
    """Attributes under which `name` cannot be seen either way: of hair, a hat and a bald head."""
    return HIDING_HAIR if name in HAIR else ()
