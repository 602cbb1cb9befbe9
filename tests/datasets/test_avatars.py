from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from facegen.config.kinds import kind_config, load_kind
from facegen.datasets import _avatar_style as style
from facegen.datasets._avatar_style import ATTRIBUTES, check_options, draw, render
from facegen.errors import UsageError
from facegen.progress import SilentProgress


def pixels(options: dict, size: int = 64) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(render(options, size))).convert("RGB")).astype(int)


def test_every_part_that_may_be_drawn_exists_in_the_style() -> None:
    parts = {
        "top": itertools.chain(*style.TOPS.values()),
        "mouth": style.MOUTHS,
        "accessories": itertools.chain(*style.EYEWEAR.values()),
        "facialHair": itertools.chain(*style.FACIAL_HAIR.values()),
        "clothes": style.CLOTHES,
        "eyes": ["default"],
        "eyebrows": ["defaultNatural"],
    }
    for component, variants in parts.items():
        check_options({f"{component}Variant": list(variants)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mouthVariant": ["smiles"]}, "no mouth 'smiles'"),
        ({"hairColour": ["ff0000"]}, "no option 'hairColour'"),
        ({"earsVariant": ["big"]}, "no option 'earsVariant'"),
        ({"shoeColor": ["ff0000"]}, "no option 'shoeColor'"),
    ],
)
def test_names_that_the_style_lacks_are_refused_before_they_draw_nothing(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render(options, 32)


@pytest.mark.parametrize(
    "part",
    [
        *[("topVariant", top) for tops in style.TOPS.values() for top in tops],
        *[("accessoriesVariant", variant) for variants in style.EYEWEAR.values() for variant in variants],
        *[("facialHairVariant", variant) for variants in style.FACIAL_HAIR.values() for variant in variants],
    ],
)
def test_every_part_changes_the_picture(part: tuple[str, str]) -> None:
    key, variant = part
    plain = {
        "topProbability": 0,
        "accessoriesProbability": 0,
        "facialHairProbability": 0,
        "mouthVariant": ["serious"],
        "eyesVariant": ["default"],
        "eyebrowsVariant": ["defaultNatural"],
        "clothesVariant": ["shirtCrewNeck"],
        "clothesColor": ["5199e4"],
        "skinColor": [style.SKINS["Pale_Skin"]],
        "backgroundColor": ["b6dcf2"],
        "hairColor": [style.HAIR_COLORS["Brown_Hair"]],
        "facialHairColor": [style.HAIR_COLORS["Brown_Hair"]],
        "accessoriesColor": ["262e33"],
        "hatColor": ["25557c"],
    }
    drawn = {**plain, key: [variant], key.replace("Variant", "Probability"): 100}
    assert (abs(pixels(plain) - pixels(drawn)).max(axis=-1) > 40).sum() >= 40


def test_labels_agree_with_the_options_that_were_drawn() -> None:
    for index in range(300):
        drawing = draw(7, index)
        labels, options = drawing.attributes, drawing.options
        top = options.get("topVariant", [None])[0] if options["topProbability"] else None
        assert labels["Bald"] == (top is None)
        assert labels["Wearing_Hat"] == (top in style.TOPS["hat"])
        colors = [name for name in style.HAIR_COLORS if labels[name]]
        assert len(colors) == (top is not None and top not in style.TOPS["hat"])
        assert all(options["hairColor"] == [style.HAIR_COLORS[name]] for name in colors)
        assert labels["Long_Hair"] == (top in style.TOPS["long"])
        mouth = options["mouthVariant"][0]
        assert (labels["Smiling"], labels["Mouth_Open"]) == style.MOUTHS[mouth]
        assert not (labels["Eyeglasses"] and labels["Sunglasses"])
        assert labels["Beard"] <= labels["Mustache"]


def test_every_attribute_is_neither_rare_nor_usual() -> None:
    drawn = [draw(0, index).attributes for index in range(2000)]
    rates = {name: np.mean([labels[name] for labels in drawn]) for name in ATTRIBUTES}
    assert all(0.1 < rate < 0.6 for rate in rates.values()), rates


def test_skin_and_smile_are_where_the_labels_say() -> None:
    face = pixels(draw(0, 0).options)[38, 32]  # beside the nose
    labels = draw(0, 0).attributes
    expected = next((skin for name, skin in style.SKINS.items() if name and labels[name]), style.SKINS[None])
    assert abs(face - [int(expected[start : start + 2], 16) for start in (0, 2, 4)]).max() < 40


def test_an_avatar_depends_on_its_seed_and_index_alone() -> None:
    assert draw(5, 17) == draw(5, 17)
    assert draw(5, 17) != draw(6, 17)
    assert render(draw(5, 17).options, 48) == render(draw(5, 17).options, 48)


def test_a_source_is_refused(tmp_path) -> None:
    adapter = load_kind("datasets", "avatars").build(kind_config("datasets", {"kind": "avatars", "count": 1}))
    with pytest.raises(UsageError, match="drawn, not read"):
        list(adapter.records(tmp_path, SilentProgress()))
