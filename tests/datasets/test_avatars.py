from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from facegen.config.kinds import kind_config, load_kind
from facegen.datasets import _avatar_plain as style
from facegen.datasets import _avatar_rich as rich
from facegen.datasets._avatar_plain import ATTRIBUTES, VIEW, draw
from facegen.datasets._avatar_style import AvatarDrawing, check_options, render
from facegen.errors import UsageError
from facegen.progress import SilentProgress
from facegen.vocabulary.conflicts import implied_by, rivals_of


def pixels(options: dict, size: int = 64, view: tuple[int, int, int] = VIEW) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(render(options, size, view))).convert("RGB")).astype(int)


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
        render(options, 32, VIEW)


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
    assert render(draw(5, 17).options, 48, VIEW) == render(draw(5, 17).options, 48, VIEW)


def test_a_source_is_refused(tmp_path) -> None:
    adapter = load_kind("datasets", "avatars").build(kind_config("datasets", {"kind": "avatars", "count": 1}))
    with pytest.raises(UsageError, match="drawn, not read"):
        list(adapter.records(tmp_path, SilentProgress()))


def rich_drawings(count: int) -> list[AvatarDrawing]:
    return [rich.draw(0, index) for index in range(count)]


def test_every_rich_part_exists_in_the_style_and_changes_the_picture() -> None:
    parts = {
        "top": [top for _, tops, *_ in rich.HEADS.values() for top in tops],
        "accessories": [variant for _, variants, _ in rich.EYEWEAR.values() for variant in variants],
        "facialHair": [variant for _, variants, _ in rich.FACIAL_HAIR.values() for variant in variants],
        "eyes": list(rich.EYES),
        "eyebrows": list(rich.EYEBROWS),
        "mouth": list(rich.MOUTHS),
        "clothes": [variant for _, variants, _ in rich.CLOTHES.values() for variant in variants],
    }
    plain = {**rich.draw(0, 0).options, "topProbability": 0, "accessoriesProbability": 0}
    plain |= {"facialHairProbability": 0, "skinColor": ["ffdbb4"], "clothesColor": ["d8454f"]}
    for component, variants in parts.items():
        seen = [
            pixels(
                {**plain, f"{component}Variant": [variant], f"{component}Probability": 100}, 128, rich.VIEW
            )
            if component in ("top", "accessories", "facialHair")
            else pixels({**plain, f"{component}Variant": [variant]}, 128, rich.VIEW)
            for variant in variants
        ]
        for first, second in itertools.combinations(range(len(variants)), 2):
            different = (abs(seen[first] - seen[second]).max(axis=-1) > 40).sum()
            assert different >= 12, (component, variants[first], variants[second], different)


def test_rich_labels_that_rule_one_another_out_are_never_true_together() -> None:
    for drawing in rich_drawings(3000):
        true = {name for name, value in drawing.attributes.items() if value}
        for name in true:
            assert not rivals_of(name) & true, (name, rivals_of(name) & true)
            assert {*implied_by(name)} & {*rich.ATTRIBUTES} <= true, name


def test_every_rich_attribute_is_drawn_often_enough_to_be_learned() -> None:
    drawings = rich_drawings(3000)
    rates = {name: np.mean([one.attributes[name] for one in drawings]) for name in rich.ATTRIBUTES}
    assert len(rates) == 59
    assert all(0.01 < rate < 0.6 for rate in rates.values()), rates


def test_rich_labels_agree_with_the_options_that_were_drawn() -> None:
    for drawing in rich_drawings(500):
        labels, options = drawing.attributes, drawing.options
        top = options.get("topVariant", [None])[0] if options["topProbability"] else None
        hair = [name for name in rich.HAIR if labels[name]]
        hides = ("hat", "winterHat02", "winterHat03", "winterHat1", "hijab", "turban", None)
        assert len(hair) == (top not in hides)
        assert all(options["hairColor"] == [rich.HAIR[name]] for name in hair)
        hats = [name for name in rich.HAT_COLORS if labels[name]]
        assert len(hats) == labels["Wearing_Hat"]
        assert all(options["hatColor"] == [rich.HAT_COLORS[name]] for name in hats)
        clothes = [name for name in rich.CLOTHES_COLORS if labels[name]]
        assert len(clothes) == (not labels["Hijab"])
        assert all(options["clothesColor"] == [rich.CLOTHES_COLORS[name]] for name in clothes)
        assert labels["Winking"] == (options["eyesVariant"] == ["wink"])
        assert labels["Round_Glasses"] == (options.get("accessoriesVariant") == ["round"])


def test_a_variety_says_which_labels_there_are() -> None:
    for variety, count in (("plain", 17), ("rich", 59)):
        config = kind_config("datasets", {"kind": "avatars", "count": 2, "variety": variety})
        adapter = load_kind("datasets", "avatars").build(config)
        records = list(adapter.records(None, SilentProgress()))
        assert len(adapter.labels.attributes) == len(records[0].attributes) == count
        assert records[0].load()[:4] == b"\x89PNG"


def test_what_hair_or_a_hat_would_cover_is_not_drawn() -> None:
    raised = [one for one in rich_drawings(6000) if one.attributes["Raised_Eyebrows"]]
    overalls = [one for one in rich_drawings(6000) if one.attributes["Overalls"]]
    tops = {top for one in raised for top in one.options.get("topVariant", ())}
    assert tops >= {"winterHat02", "bob"}
    assert not tops & {*rich.COVERS_RAISED}
    bearded = {
        top for one in overalls if one.attributes["Beard"] for top in one.options.get("topVariant", ())
    }
    assert "straight01" in bearded
    assert not bearded & {*rich.COVERS_STRAPS}
    for drawing in raised:
        assert drawing.options["eyebrowsVariant"] == [rich.RAISED]
    for drawing in overalls:
        assert drawing.options["clothesVariant"] == ["overall"]
