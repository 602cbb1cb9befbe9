"""Attributes under headings, so that a page with many of them is read at a glance."""

from __future__ import annotations

from collections.abc import Sequence

from facegen.vocabulary.conflicts import HAIR, HIDING_HAIR

OTHERS = "More"
HEADINGS: dict[str, tuple[str, ...]] = {
    "Expression": (
        *("Smiling", "Mouth_Open", "Mouth_Slightly_Open", "Frowning", "Showing_Teeth", "Tongue_Out"),
        *("Crying", "Winking"),
    ),
    "Eyes": (
        *("Closed_Eyes", "Heart_Eyes", "Wide_Eyes", "Narrow_Eyes", "Looking_Aside", "Rolling_Eyes"),
        *("Bags_Under_Eyes",),
    ),
    "Eyebrows": ("Raised_Eyebrows", "Angry_Eyebrows", "Sad_Eyebrows", "Arched_Eyebrows", "Bushy_Eyebrows"),
    "Glasses": ("Eyeglasses", "Round_Glasses", "Sunglasses", "Eyepatch"),
    "Hair": (*HAIR, "Receding_Hairline", "Bald"),
    "Beard": ("Beard", "Mustache", "Goatee", "Sideburns", "5_o_Clock_Shadow", "No_Beard"),
    "Hats": (
        *(name for name in HIDING_HAIR if name != "Bald"),
        *("Winter_Hat", "Red_Hat", "Blue_Hat", "Yellow_Hat", "Green_Hat", "Black_Hat"),
    ),
    "Clothes": (
        *("Hoodie", "Blazer", "Overalls", "Collared_Sweater", "Red_Clothes", "Blue_Clothes", "Green_Clothes"),
        *("Yellow_Clothes", "Black_Clothes", "White_Clothes", "Wearing_Necktie", "Wearing_Necklace"),
        *("Wearing_Earrings",),
    ),
    "Skin and make-up": ("Pale_Skin", "Dark_Skin", "Rosy_Cheeks", "Heavy_Makeup", "Wearing_Lipstick"),
    "Face": (
        *("Young", "Male", "Attractive", "Chubby", "Double_Chin", "Oval_Face", "High_Cheekbones", "Big_Lips"),
        *("Big_Nose", "Pointy_Nose", "Blurry"),
    ),
}


def under_headings(names: Sequence[str]) -> list[tuple[str, list[tuple[int, str]]]]:
    """Each heading with its attributes of `names`, as (place in `names`, words); unknown ones come last."""
    of = {name: heading for heading, each in HEADINGS.items() for name in each}
    found: dict[str, list[tuple[int, str]]] = {heading: [] for heading in (*HEADINGS, OTHERS)}
    for place, name in enumerate(names):
        found[of.get(name, OTHERS)].append((place, name.replace("_", " ")))
    return [(heading, each) for heading, each in found.items() if each]
