"""Augmentation: what is drawn, what is left alone, and where known pixels and colours go."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.draws import draws_of
from torch import Tensor

from facegen.config.composition import compose
from facegen.config.recipe import AugmentationConfig
from facegen.errors import UsageError
from facegen.nn.augmentation import PARAMETERS, Augmentation

EVERYTHING: dict[str, Any] = {
    "flip": True,
    "rotation_degrees": 20,
    "scale": (0.8, 1.25),
    "shift": 0.1,
    "brightness": 0.3,
    "contrast": 0.3,
    "saturation": 0.5,
}


def augmentation(**settings: Any) -> Augmentation:
    return Augmentation(**AugmentationConfig(**settings).values())


def images(count: int, size: int = 8) -> Tensor:
    return 1.8 * torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1)) - 0.9


def done(count: int = 1, **amounts: float) -> Tensor:
    """Parameters (count, 8) that say `amounts`, zero elsewhere."""
    parameters = torch.zeros(count, len(PARAMETERS))
    for name, amount in amounts.items():
        parameters[:, PARAMETERS.index(name)] = amount
    return parameters


def dot(row: int, column: int, size: int = 8) -> Tensor:
    """A black image (1, 3, size, size) with one white pixel."""
    image = torch.full((1, 3, size, size), -1.0)
    image[:, :, row, column] = 1.0
    return image


def brightest(image: Tensor) -> tuple[int, int]:
    row, column = divmod(int(image[0, 0].argmax()), image.shape[3])
    return row, column


def test_zeros_change_not_one_bit_and_the_given_images_are_left_alone() -> None:
    given = images(4, 29)  # of a size whose coordinates are no binary fractions
    kept = given.clone()
    assert torch.equal(augmentation(**EVERYTHING).apply(given, done(4)), kept)
    augmentation(**EVERYTHING).apply(given, augmentation(**EVERYTHING).draw(draws_of(4)))
    assert torch.equal(given, kept)


def test_zero_is_told_exactly_of_what_was_not_done() -> None:
    some = augmentation(**EVERYTHING, probability=0.3)
    parameters = some.draw(draws_of(400, 0))
    untouched = (parameters == 0).all(1)
    assert 5 < untouched.sum() < 40  # 0.5 * 0.7^7 = 4 % of 400
    given = images(400)
    same = (some.apply(given, parameters) == given).flatten(1).all(1)
    assert torch.equal(same, untouched)


def test_parameters_fill_the_range_from_minus_one_to_one() -> None:
    parameters = augmentation(**EVERYTHING).draw(draws_of(1000, 0))
    assert parameters.shape == (1000, 8)
    assert set(parameters[:, 0].tolist()) == {0.0, 1.0}
    assert 0.4 < parameters[:, 0].mean() < 0.6
    for column in parameters[:, 1:].unbind(1):
        assert -1 <= column.min() < -0.95
        assert 0.95 < column.max() <= 1
    assert parameters.corrcoef().abs().fill_diagonal_(0).mean() < 0.4
    enlarged = augmentation(scale=(1.0, 1.5)).draw(draws_of(1000, 0))[:, 2]
    assert 0 <= enlarged.min() < 0.05


def test_nothing_is_done_that_is_not_configured() -> None:
    assert not augmentation().draw(draws_of(50, 0)).any()
    for name, setting in EVERYTHING.items():
        parameters = augmentation(**{name: setting}).draw(draws_of(50, 0))
        touched = [PARAMETERS[column] for column in parameters.any(0).nonzero().flatten().tolist()]
        assert {word.split("_")[0] for word in touched} == {name.split("_")[0]}


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    some, given = augmentation(**EVERYTHING, probability=0.5), images(6)
    parameters = some.draw(draws_of(6, 3))
    together = some.apply(given, parameters)
    alone = [some.apply(given[i : i + 1], parameters[i : i + 1]) for i in range(6)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-6)
    assert len({tuple(row.tolist()) for row in parameters}) == 6


def test_a_quarter_turn_moves_every_pixel_to_where_it_belongs() -> None:
    turn = augmentation(rotation_degrees=90)
    assert brightest(turn.apply(dot(1, 6), done(rotation=1))) == (1, 1)  # counter-clockwise
    assert brightest(turn.apply(dot(1, 6), done(rotation=-1))) == (6, 6)
    given = images(2)
    assert torch.allclose(turn.apply(given, done(2, rotation=1)), given.rot90(1, (2, 3)), atol=1e-5)


def test_a_known_angle_moves_a_known_pixel() -> None:
    """The pixel 12 to the right of the middle of 33x33 comes to lie 12 sin 30 above it, 12 cos 30 right."""
    turned = augmentation(rotation_degrees=60).apply(dot(16, 28, 33), done(rotation=0.5))
    assert brightest(turned) == (10, 26)


def test_shifts_zooms_and_mirror_images_go_where_they_say() -> None:
    assert brightest(augmentation(shift=0.25).apply(dot(3, 3), done(shift_x=1, shift_y=-0.5))) == (2, 5)
    assert brightest(augmentation(scale=(0.5, 2)).apply(dot(24, 16, 33), done(scale=-1))) == (20, 16)
    assert brightest(augmentation(scale=(1, 2)).apply(dot(20, 16, 33), done(scale=1))) == (24, 16)
    assert brightest(augmentation(flip=True).apply(dot(3, 1), done(flip=1))) == (3, 6)
    mixed = augmentation(rotation_degrees=90, shift=0.25)  # turned first, then shifted
    assert brightest(mixed.apply(dot(1, 4), done(rotation=-1, shift_x=-1))) == (4, 4)


def test_what_comes_in_from_outside_is_the_mirrored_edge() -> None:
    given = images(1)
    shifted = augmentation(shift=0.25).apply(given, done(shift_x=1))
    assert torch.allclose(shifted[..., 2:], given[..., :-2], atol=1e-5)
    assert torch.allclose(shifted[..., :2], given[..., :2].flip(3), atol=1e-5)


def test_colours_become_what_they_should() -> None:
    given = 0.5 * images(1)
    brighter = augmentation(brightness=0.4).apply(given, done(brightness=0.5))
    assert torch.allclose(brighter, given + 0.2)
    harder = augmentation(contrast=0.4).apply(given, done(contrast=-1))
    assert torch.allclose(harder, 0.6 * given)
    grey = augmentation(saturation=1).apply(given, done(saturation=-1))
    luma = 0.299 * given[:, 0] + 0.587 * given[:, 1] + 0.114 * given[:, 2]
    assert torch.allclose(grey, luma[:, None].expand_as(grey), atol=1e-6)


def test_pixels_stay_in_their_range() -> None:
    strong = augmentation(**{**EVERYTHING, "brightness": 1, "contrast": 1})
    given = images(50).sign()
    changed = strong.apply(given, strong.draw(draws_of(50, 0)))
    assert changed.min() == -1
    assert changed.max() == 1


@pytest.mark.parametrize("scale", ["[1.1, 1.2]", "[0.8, 0.9]", "[0, 1]", "[1]"])
def test_scales_that_leave_nothing_untouched_are_refused(scale: str) -> None:
    with pytest.raises(UsageError, match=r"data\.augmentation"):
        compose("pixel-class", overrides=[f"data.augmentation.scale={scale}"])
