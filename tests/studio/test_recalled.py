"""Pictures bring their settings back."""

from dataclasses import replace

import pytest
import torch
from support.generator_parts import tiny_generator, tiny_recipe

from facegen.errors import DataError, UsageError
from facegen.formats.images import encode_png
from facegen.studio.drawing import Drawn, Easel
from facegen.studio.recalled import recalled
from facegen.studio.state import Controls, Wish

OWN = {"guidance": 2.0, "steps": 4, "sampler": "dpmpp_2m"}


@pytest.fixture(scope="module")
def easel():
    generator = tiny_generator()
    generator.weights_sha256 = "a" * 64
    return Easel(generator)


def drawn(easel, wish, path):
    *_, last = easel.draw(wish)
    assert isinstance(last, Drawn)
    path.write_bytes(last.pictures[0 if wish.way == "photo" else -1].png)
    return path


@pytest.mark.parametrize(
    "wish",
    [
        Wish(prompt="a smile", attributes={"Male": "no"}, negative="glasses", count=2, seed=7),
        Wish(way="blend", parts=(("Smiling", 25.0), ("Male", 75.0)), count=1),
    ],
)
def test_a_picture_that_was_drawn_here_brings_its_wish_back(easel, wish, tmp_path):
    path = drawn(easel, replace(wish, **OWN), tmp_path / "picture.png")
    found, settings = recalled(path, easel.controls)
    assert settings.model_sha256 == "a" * 64
    assert found == replace(wish, **OWN, seed=wish.seed + wish.count - 1)


def test_an_edit_brings_all_but_its_photo_back(easel, tmp_path):
    photo = tmp_path / "me.png"
    photo.write_bytes(encode_png(torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)))
    wish = Wish(way="photo", photo=photo, prompt="a smile", strength=0.5, pull=4.0, count=1, **OWN)
    found, settings = recalled(drawn(easel, wish, tmp_path / "picture.png"), easel.controls)
    assert found == replace(wish, photo=None)
    assert [one.file for one in settings.photos] == ["me.png"]
    found, _ = recalled(drawn(easel, replace(wish, region=0.5), tmp_path / "region.png"), easel.controls)
    assert found == replace(wish, photo=None, region=0.5)
    masked = replace(wish, mask=photo)
    found, settings = recalled(drawn(easel, masked, tmp_path / "masked.png"), easel.controls)
    assert found == replace(wish, photo=None)
    assert [one.file for one in settings.photos] == ["me.png", "me.png"]


def test_what_cannot_be_brought_back_is_told(easel, tmp_path):
    pictures = Easel(tiny_generator(tiny_recipe({"kind": "semantic_encoder", "dim": 32})))
    pictures.generator.weights_sha256 = "b" * 64
    photo = tmp_path / "me.png"
    photo.write_bytes(encode_png(torch.zeros(3, 16, 16, dtype=torch.uint8)))
    like = drawn(pictures, Wish(way="photo", photo=photo, count=1), tmp_path / "like.png")
    with pytest.raises(UsageError, match="asked in another way"):
        recalled(like, easel.controls)
    plain = tmp_path / "plain.png"
    plain.write_bytes(encode_png(torch.zeros(3, 16, 16, dtype=torch.uint8)))
    with pytest.raises(DataError, match=r"^.plain\.png. carries no settings"):
        recalled(plain, easel.controls)
    path = drawn(easel, Wish(attributes={"Male": "yes"}, count=1), tmp_path / "picture.png")
    by_class = Controls.of(tiny_generator(tiny_recipe("class_label")))
    with pytest.raises(UsageError, match="Unknown attribute 'Male'"):
        recalled(path, by_class)
    blend = drawn(
        easel, Wish(way="blend", parts=(("Smiling", 1), ("Male", 1)), count=1), tmp_path / "blend.png"
    )
    with pytest.raises(UsageError, match="asked in another way"):
        recalled(blend, Controls.of(tiny_generator(tiny_recipe("none"))))
