"""The control matrix of generators whose obedience is known: rendered avatars, and some that ignore it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from support.known import known
from torch import Tensor

from facegen.datasets._avatar_plain import (
    ATTRIBUTES,
    CLOTHES,
    EYEWEAR,
    FACIAL_HAIR,
    FRAME_COLORS,
    MOUTHS,
    TOPS,
    VIEW,
    draw,
)
from facegen.datasets._avatar_style import HAIR_COLORS, SKINS, render
from facegen.evaluation.control_matrix import ControlMatrix, classifier_limits, control_matrix
from facegen.evaluation.toggles import Toggle, toggle_requests
from facegen.formats.images import decode_image

PAIRS = 12
ROWS = 60
SIZE = 32


def variant(options: dict[str, Any], part: str) -> str | None:
    return options[f"{part}Variant"][0] if options.get(f"{part}Probability", 100) else None


def visible(options: dict[str, Any]) -> list[bool]:
    """The labels of a drawing, read off the options it was drawn with."""
    top, glasses, hair = (variant(options, part) for part in ("top", "accessories", "facialHair"))
    head = next((kind for kind, variants in TOPS.items() if top in variants), "bald")
    (mouth,), (color,), (skin,) = (options[key] for key in ("mouthVariant", "hairColor", "skinColor"))
    true = {name for name, value in SKINS.items() if value == skin}
    true |= {name for name, variants in EYEWEAR.items() if glasses in variants}
    true |= {"hat": {"Wearing_Hat"}, "bald": {"Bald"}, "long": {"Long_Hair"}, "curly": {"Curly_Hair"}}.get(
        head, set()
    )
    if head in ("short", "long", "curly"):
        true |= {name for name, value in HAIR_COLORS.items() if value == color}
    true |= {"Mustache"} if hair else set()
    true |= {"Beard"} if hair in FACIAL_HAIR["beard"] else set()
    true |= {name for name, holds in zip(("Smiling", "Mouth_Open"), MOUTHS[mouth], strict=True) if holds}
    return [name in true for name in ATTRIBUTES]


class Avatars:
    """Draws avatars as asked; what a seed leaves to chance (clothes, variants, background) is the seed's."""

    def __init__(self) -> None:
        self._labels: dict[bytes, list[bool]] = {}
        self.num_drawn = 0

    def draw(self, requests: Tensor, seeds: Sequence[int]) -> Tensor:
        return torch.stack([self._image(self._asked(*each)) for each in zip(requests, seeds, strict=True)])

    def ignore(self, requests: Tensor, seeds: Sequence[int]) -> Tensor:
        """The seed's own avatar, whatever is asked."""
        return torch.stack([self._image(draw(1, seed).options) for seed in seeds])

    def redraw(self, requests: Tensor, seeds: Sequence[int]) -> Tensor:
        """Another avatar every time, whatever is asked."""
        self.num_drawn += len(seeds)
        first = self.num_drawn
        return torch.stack([self._image(draw(2, first + index).options) for index in range(len(seeds))])

    def answer(self, images: Tensor) -> Tensor:
        """What is really there, known by the pixels."""
        return torch.tensor([self._labels[image.numpy().tobytes()] for image in images])

    def _asked(self, request: Tensor, seed: int) -> dict[str, Any]:
        wanted = {name for name, value in zip(ATTRIBUTES, request.tolist(), strict=True) if value == 1}
        rng = random.Random(seed)
        background = (
            f"{rng.randrange(180, 250):02x}{rng.randrange(180, 250):02x}{rng.randrange(180, 250):02x}"
        )
        heads = {"hat": "Wearing_Hat", "bald": "Bald", "long": "Long_Hair", "curly": "Curly_Hair"}
        head = next((kind for kind, name in heads.items() if name in wanted), "short")
        glasses = next((name for name in ("Eyeglasses", "Sunglasses") if name in wanted), None)
        hair = "beard" if "Beard" in wanted else "mustache" if "Mustache" in wanted else None
        mouth = ("Smiling" in wanted, "Mouth_Open" in wanted)
        parts = {"top": TOPS[head], "accessories": EYEWEAR[glasses], "facialHair": FACIAL_HAIR[hair]}
        color = next((value for name, value in HAIR_COLORS.items() if name in wanted), "221a1a")
        options: dict[str, Any] = {
            "skinColor": [next((v for n, v in SKINS.items() if n and n in wanted), SKINS[None])],
            "hairColor": [color],
            "facialHairColor": [color],
            "mouthVariant": [next(name for name, holds in MOUTHS.items() if holds == mouth)],
            "eyesVariant": ["default"],
            "eyebrowsVariant": ["defaultNatural"],
            "clothesVariant": [rng.choice(CLOTHES)],
            "accessoriesColor": [FRAME_COLORS[glasses]],
            "backgroundColor": [background],
        }
        for part, variants in parts.items():
            options[f"{part}Probability"] = 100 if variants else 0
            if variants:
                options[f"{part}Variant"] = [rng.choice(variants)]
        return options

    def _image(self, options: dict[str, Any]) -> Tensor:
        picture = decode_image(render(options, SIZE, VIEW))
        image = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        image = image.view(SIZE, SIZE, 3).permute(2, 0, 1).contiguous()
        labels = visible(options)
        assert self._labels.setdefault(image.numpy().tobytes(), labels) == labels
        return image


def avatar_toggles(num_pairs: int = PAIRS) -> list[Toggle]:
    labels = [[draw(0, index).attributes[name] for name in ATTRIBUTES] for index in range(ROWS)]
    base = (2 * torch.tensor(labels, dtype=torch.int8) - 1).to(torch.int8)
    return [toggle_requests(base, ATTRIBUTES, name, num_pairs) for name in ATTRIBUTES]


@pytest.fixture(scope="module")
def obedient() -> ControlMatrix:
    avatars = Avatars()
    return control_matrix(avatar_toggles(), ATTRIBUTES, range(PAIRS), avatars.draw, avatars.answer)


def test_a_generator_that_draws_what_is_asked_hits_all_and_leaks_nothing(obedient: ControlMatrix):
    assert obedient.hit["share"] >= 0.98
    assert obedient.leakage is not None
    assert obedient.leakage["share"] <= 0.02
    for row in obedient.rows:
        assert row["hit"]["share"] >= 0.98, row["attribute"]
        assert known(row["mean_leakage"]) <= 0.02, row["attribute"]
        assert row["effect"]["low"] > 0.5
        assert all(cell is None or cell["share"] <= 0.02 for cell in row["leakage"].values()), row[
            "attribute"
        ]


def test_what_an_attribute_rules_out_is_no_leakage_and_is_said(obedient: ControlMatrix):
    rows = {row["attribute"]: row for row in obedient.rows}
    assert rows["Smiling"]["gave_way"] == {}
    assert all(known(cell)["num_pairs"] == PAIRS for cell in rows["Smiling"]["leakage"].values())
    assert sum(rows["Black_Hair"]["gave_way"].values()) >= PAIRS / 2, "another colour, in most heads of hair"
    for name, cell in rows["Black_Hair"]["leakage"].items():
        gave_way = rows["Black_Hair"]["gave_way"].get(name, 0)
        assert (cell["num_pairs"] if cell else 0) == PAIRS - gave_way


def test_a_generator_that_ignores_its_request_changes_nothing_at_the_same_noise():
    avatars = Avatars()
    matrix = control_matrix(avatar_toggles(), ATTRIBUTES, range(PAIRS), avatars.ignore, avatars.answer)
    assert matrix.hit["share"] == 0
    assert matrix.leakage is not None
    assert matrix.leakage["share"] == 0
    for row in matrix.rows:
        assert row["hit"]["share"] <= row["chance"]
        assert row["effect"]["low"] < 0 < row["effect"]["high"]


def test_a_generator_that_draws_any_face_is_at_chance_in_hits_and_in_leakage():
    avatars, pairs = Avatars(), 40
    toggles = [
        toggle for toggle in avatar_toggles(pairs) if toggle.name in ("Smiling", "Eyeglasses", "Beard")
    ]
    matrix = control_matrix(toggles, ATTRIBUTES, range(pairs), avatars.redraw, avatars.answer)
    cells = [cell for row in matrix.rows for cell in row["leakage"].values() if cell]
    chance = sum(cell["chance"] * cell["num_pairs"] for cell in cells) / sum(
        cell["num_pairs"] for cell in cells
    )
    assert matrix.leakage is not None
    assert matrix.leakage["share"] == pytest.approx(chance, abs=0.04)
    for row in matrix.rows:
        assert row["hit"]["low"] <= row["chance"] <= row["hit"]["high"]
        assert row["effect"]["low"] < 0 < row["effect"]["high"], "asking makes nothing more frequent"


NAMES = ("Smiling", "Young", "Chubby")


def pixels(requests: Tensor, seeds: Sequence[int]) -> Tensor:
    """Images whose first pixels show the request, and whose second row of pixels shows the seed."""
    images = torch.zeros(len(requests), 3, 4, 4, dtype=torch.uint8)
    images[:, 0, 0, :3] = (requests == 1).to(torch.uint8) * 255
    images[:, 0, 1, 0] = torch.tensor(list(seeds), dtype=torch.uint8)
    return images


def read(images: Tensor) -> Tensor:
    return images[:, 0, 0, :3] > 0


def small_matrix(draw=pixels, num_pairs: int = 4, **options) -> ControlMatrix:
    base = torch.full((num_pairs, 3), -1, dtype=torch.int8)
    toggles = [toggle_requests(base, NAMES, name, num_pairs) for name in NAMES]
    return control_matrix(toggles, NAMES, range(num_pairs), draw, read, **options)


def test_leakage_stands_in_the_cell_it_went_into():
    def leaky(requests: Tensor, seeds: Sequence[int]) -> Tensor:  # half of the smiling become young
        images = pixels(requests, seeds)
        images[(requests[:, 0] == 1) & (torch.tensor(list(seeds)) < 2), 0, 0, 1] = 255
        return images

    matrix = small_matrix(leaky)
    smiling, young, chubby = matrix.rows
    assert known(smiling["leakage"]["Young"])["share"] == 0.5
    assert known(smiling["leakage"]["Chubby"])["share"] == 0
    assert smiling["mean_leakage"] == 0.25
    assert young["mean_leakage"] == chubby["mean_leakage"] == 0
    assert matrix.hit["share"] == 1
    assert matrix.leakage == {"share": pytest.approx(2 / 24), "low": 0.0, "high": pytest.approx(4 / 24)}
    low, high = (known(smiling["leakage"]["Young"])[key] for key in ("low", "high"))
    assert (low, high) == (pytest.approx(0.15, abs=0.01), pytest.approx(0.85, abs=0.01)), "Wilson, 2 of 4"


def test_what_an_attribute_takes_away_is_leakage_too():
    def thinning(requests: Tensor, seeds: Sequence[int]) -> Tensor:  # everybody is chubby who does not smile
        images = pixels(requests, seeds)
        images[requests[:, 0] != 1, 0, 0, 2] = 255
        return images

    smiling, young, chubby = small_matrix(thinning).rows
    assert known(smiling["leakage"]["Chubby"])["share"] == 1
    assert known(smiling["leakage"]["Young"])["share"] == 0
    assert young["mean_leakage"] == 0
    assert chubby["hit"]["share"] == 0, "it was there without being asked for"


def test_an_attribute_drawn_the_wrong_way_round_is_reversed_not_hit():
    def inverted(requests: Tensor, seeds: Sequence[int]) -> Tensor:
        return pixels(torch.cat([-requests[:, :1], requests[:, 1:]], dim=1), seeds)

    smiling = small_matrix(inverted).rows[0]
    assert smiling["hit"]["share"] == 0
    assert smiling["reversed"] == 1
    assert smiling["effect"]["share"] == -1
    assert (smiling["yes_when_off"], smiling["yes_when_on"]) == (1, 0)


def test_both_images_of_a_pair_have_one_seed_and_equal_requests_are_drawn_once():
    drawn: list[tuple[tuple[int, ...], int]] = []

    def noted(requests: Tensor, seeds: Sequence[int]) -> Tensor:
        drawn.extend(zip(map(tuple, requests.tolist()), seeds, strict=True))
        return pixels(requests, seeds)

    told: list[int] = []
    matrix = small_matrix(noted, advance=told.append)
    assert len(drawn) == len(set(drawn)) == matrix.num_images == 4 + 3 * 4, (
        "the four without anything, shared"
    )
    assert {seed for request, seed in drawn if request == (1, -1, -1)} == {0, 1, 2, 3}
    assert sum(told) == 2 * 3 * 4


def test_kept_pictures_are_the_first_pairs_off_before_on():
    matrix = small_matrix(keep_pairs=2)
    assert matrix.pictures.shape == (3, 2, 2, 3, 4, 4)
    assert matrix.pictures[:, :, 0, 0, 0, :3].sum() == 0
    assert read(matrix.pictures[:, 1, 1]).tolist() == torch.eye(3).bool().tolist()
    assert matrix.pictures[0, :, :, 0, 1, 0].tolist() == [[0, 0], [1, 1]]
    assert matrix.picture_answers.tolist() == [[[False, True]] * 2] * 3


def test_the_effect_of_nothing_has_an_interval_around_zero_and_hits_never_touch_certainty():
    row = small_matrix(num_pairs=50).rows[0]
    assert row["hit"]["low"] == pytest.approx(50 / (50 + 1.96**2), abs=1e-3), "Wilson, 50 of 50"
    assert 0.85 < row["effect"]["low"] < 1
    ignored = small_matrix(lambda requests, seeds: pixels(0 * requests, seeds), num_pairs=50).rows[0]
    assert ignored["effect"]["low"] == pytest.approx(-ignored["effect"]["high"])


def test_limits_of_the_classifier_follow_from_its_errors():
    held_out = {"Smiling": {"accuracy": 0.9, "sensitivity": 0.8, "specificity": 0.95}}
    limits = classifier_limits(held_out, "Smiling")
    assert limits == {"accuracy": 0.9, "hit": pytest.approx(0.76), "leakage": pytest.approx(0.18)}
    assert set(classifier_limits(held_out, "Bald").values()) == {None}


def test_pairs_and_seeds_must_be_as_many():
    with pytest.raises(ValueError, match="as many pairs as seeds"):
        control_matrix(avatar_toggles(3), ATTRIBUTES, range(4), pixels, read)
