"""What the studio's switches ask for."""

import struct
import zlib
from dataclasses import replace

import pytest
from support.generator_parts import tiny_generator, tiny_recipe

from facegen.errors import DataError, UsageError
from facegen.studio.state import Controls, Wish, asked_by, edit_by, photo_of

VECTORS = {"kind": "semantic_encoder", "dim": 32}


@pytest.fixture(scope="module")
def controls():
    return Controls.of(tiny_generator())


def test_an_attribute_model_offers_its_attributes_and_its_own_settings(controls):
    assert controls.ways == ("faces", "compare", "blend", "photo")
    assert controls.attributes == ("Smiling", "Eyeglasses", "Male")
    assert (controls.classes, controls.guidance, controls.steps, controls.sampler) == ((), 2.0, 4, "dpmpp_2m")


def test_an_attribute_model_edits_photos_as_its_words_and_numbers_say(controls, tmp_path):
    assert controls.edits
    assert controls.why_no_photos is None
    path = tmp_path / "me.png"
    wish = Wish(
        way="photo", photo=path, prompt="a smile", attributes={"Male": "no"}, seen="glasses",
        strength=0.5, pull=4.0, steps=7, crop="none",
    )  # fmt: skip
    photo, options = edit_by(wish, controls)
    assert photo == path
    assert wish.title == "me.png: a smile, no Male"
    assert (options.prompt, options.attributes, options.from_prompt) == ("a smile", "Male=0", "glasses")
    assert (options.strength, options.guidance, options.steps, options.crop) == ((0.5,), 4.0, 7, "none")
    with pytest.raises(UsageError, match="Choose a photo first"):
        edit_by(Wish(way="photo", prompt="a smile"), controls)
    with pytest.raises(UsageError, match=r"strength must be from 0\.01 to 1"):
        edit_by(replace(wish, strength=1.5), controls)


def test_where_a_photo_may_change_is_a_mask_or_a_share(controls, tmp_path):
    assert controls.places
    wish = Wish(way="photo", photo=tmp_path / "me.png", prompt="a smile")
    mask = tmp_path / "mask.png"
    told = [edit_by(one, controls)[1] for one in (wish, replace(wish, mask=mask), replace(wish, region=0.25))]
    assert [(one.mask, one.region) for one in told] == [(None, None), (mask, None), (None, 0.25)]
    with pytest.raises(UsageError, match="clear it, or set its share to 0"):
        edit_by(replace(wish, mask=mask, region=0.25), controls)
    with pytest.raises(UsageError, match="nothing is: ask for it"):
        edit_by(replace(wish, prompt="", region=0.25), controls)
    with pytest.raises(UsageError, match=r"share that may change must be from 0\.01 to 1"):
        edit_by(replace(wish, region=float("nan")), controls)


def test_a_model_that_cannot_be_given_photos_says_why():
    controls = Controls.of(tiny_generator(tiny_recipe("none")))
    with pytest.raises(UsageError, match="cannot vary photos"):
        asked_by(Wish(way="photo"), controls)


def test_a_class_model_offers_its_classes():
    controls = Controls.of(tiny_generator(tiny_recipe("class_label")))
    assert controls.classes == ("young", "old")
    assert not controls.takes_prompt
    pair = asked_by(Wish(way="compare", class_name="old", changed="young"), controls)
    assert [each.options.class_name for each in pair] == ["old", "young"]
    assert Wish(way="compare", class_name="old", changed="young").title == "old / young"
    with pytest.raises(UsageError, match="two different classes"):
        asked_by(Wish(way="compare", class_name="old", changed="old"), controls)


def test_an_unconditional_model_offers_faces_alone():
    controls = Controls.of(tiny_generator(tiny_recipe("none")))
    assert controls.ways == ("faces", "photo")
    assert not controls.takes_prompt
    assert "without any condition" in (controls.why_no_photos or "")


def test_open_attributes_are_not_asked_for(controls):
    wish = Wish(prompt=" a man ", attributes={"Smiling": "yes", "Eyeglasses": "open", "Male": "no"}, steps=7)
    (asked,) = asked_by(wish, controls, "model")
    assert asked.options.prompt == "a man"
    assert asked.options.attributes == "Smiling=1,Male=0"
    assert (asked.options.steps, asked.options.guidance, asked.options.weights) == (7, None, "model")
    (nothing,) = asked_by(Wish(), controls)
    assert (nothing.options.prompt, nothing.options.attributes, nothing.options.negative) == (
        None,
        None,
        None,
    )


def test_a_comparison_switches_one_attribute_and_keeps_all_else(controls):
    wish = Wish(
        way="compare", attributes={"Smiling": "yes", "Eyeglasses": "yes"}, changed="Eyeglasses", seed=9
    )
    without, with_it = asked_by(wish, controls)
    assert without.options.attributes == "Smiling=1,Eyeglasses=0"
    assert with_it.options.attributes == "Smiling=1,Eyeglasses=1"
    assert without.options.seed == with_it.options.seed == 9
    assert (without.caption, with_it.caption) == ("without Eyeglasses", "with Eyeglasses")


def test_a_blend_leaves_out_parts_without_weight(controls):
    parts = (("Smiling", 30.0), ("", 50.0), ("Male", 70.0), ("Eyeglasses", 0.0))
    (asked,) = asked_by(Wish(way="blend", parts=parts), controls)
    assert asked.options.blend == "Smiling:30,Male:70"
    assert Wish(way="blend", parts=parts[:1]).title == "Smiling 100 %"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"count": 0}, "number of pictures must be from 1 to 64"),
        ({"count": 65}, "number of pictures"),
        ({"seed": -1}, "seed must be from 0"),
        ({"steps": 0}, "steps must be from 1"),
        ({"count": 64, "steps": 251}, "64 pictures in 251 steps are 16,064 steps together, and 16,000 are"),
        ({"prompt": "a" * 501}, "The prompt must be at most 500 characters"),
        ({"negative": "a" * 501}, "away from must be at most 500"),
        ({"parts": (("a" * 501, 1.0),)}, "part of a blend must be at most 500"),
        ({"guidance": -1.0}, "Guidance must be from 0"),
        ({"guidance": float("nan")}, "Guidance must be from 0"),
        ({"way": "compare", "changed": ""}, "Choose the attribute"),
        ({"way": "blend", "parts": (("Smiling", 1.0),)}, "at least two parts"),
        ({"way": "blend", "parts": (("Smiling", 1.0), ("Smiling", 1.0))}, "twice"),
        ({"way": "blend", "parts": (("a, b", 1.0), ("Smiling", 1.0))}, "without commas"),
        ({"negative": "a hat", "guidance": 1.0}, "off at 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_plain_words(controls, change, words):
    with pytest.raises(UsageError, match=words) as refused:
        asked_by(Wish(**change), controls)
    assert "--" not in str(refused.value)


def test_words_are_read_without_drawing_anything():
    generator = tiny_generator()
    reading = generator.explain("a smiling man with wings").reading
    assert reading.labels == {"Smiling": 1.0, "Male": 1.0}
    assert reading.not_understood == ("wings",)
    assert generator.explain("  ").said == ()


def test_a_picture_model_needs_a_photo():
    controls = Controls.of(tiny_generator(tiny_recipe(VECTORS)))
    assert controls.ways == ("photo",)
    assert controls.why_no_photos is None
    with pytest.raises(UsageError, match="Choose a photo"):
        asked_by(Wish(way="photo"), controls)


def test_what_is_wrong_with_a_photo_is_told_without_its_folder(tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("no picture")
    with pytest.raises(DataError, match=r"'letter\.txt' cannot be used: not an image") as refused:
        photo_of(path, "center", 16)
    assert str(tmp_path) not in str(refused.value)


def test_a_photo_that_would_fill_the_memory_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_bomb())
    with pytest.raises(DataError, match=r"'bomb\.png' cannot be used: .*80,000,000 pixels"):
        photo_of(path, "center", 16)


def png_bomb() -> bytes:
    """A few bytes that say they are 60,000 x 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
