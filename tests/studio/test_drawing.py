"""Pictures of the studio: previews on the way, and PNGs that can be made again."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from support.generator_parts import save_run, tiny_generator, tiny_recipe

from facegen.errors import DataError, UsageError
from facegen.formats.images import encode_png, read_png_text
from facegen.models.generator import FaceGenerator
from facegen.models.loading import load
from facegen.progress import SilentProgress
from facegen.sampling.edit import edit
from facegen.sampling.options import EditOptions
from facegen.sampling.sample import SampleOptions, sample
from facegen.studio import drawing as drawing_module
from facegen.studio.drawing import Drawn, Easel, Preview
from facegen.studio.history import MAX_ENTRIES, History
from facegen.studio.state import Wish

ASKED = Wish(prompt="a smiling man", attributes={"Eyeglasses": "no"}, count=3, seed=5)


def drawn_of(easel, wish):
    *previews, drawn = easel.draw(wish)
    assert isinstance(drawn, Drawn)
    return [preview for preview in previews if isinstance(preview, Preview)], drawn


def pixels(picture, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(picture.png)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_pictures_are_byte_for_byte_those_of_facegen_sample(tmp_path):
    run = save_run(tmp_path)
    easel = Easel(load(run, "cpu"))
    _, drawn = drawn_of(easel, ASKED)
    options = SampleOptions(
        prompt="a smiling man", attributes="Eyeglasses=0", count=3, seed=5, out=tmp_path / "out", device="cpu"
    )
    summary = sample(run, options, SilentProgress())
    assert [picture.png for picture in drawn.pictures] == [path.read_bytes() for path in summary.paths]
    assert drawn.pictures[0].settings["labels"] == {"Smiling": 1.0, "Male": 1.0, "Eyeglasses": -1.0}


def test_previews_count_the_steps_and_come_before_the_pictures(monkeypatch):
    monkeypatch.setattr(drawing_module, "PREVIEW_SECONDS", 0.0)
    monkeypatch.setattr(drawing_module, "PREVIEW_SHARE", math.inf)
    previews, drawn = drawn_of(Easel(tiny_generator()), ASKED)
    assert [(preview.step, preview.num_steps) for preview in previews] == [(n, 4) for n in (1, 2, 3, 4)]
    first, *_, last = ([image for image in preview.images if image is not None] for preview in previews)
    stripped = [
        encode_png(torch.from_numpy(np.asarray(_image(p)).copy()).permute(2, 0, 1)) for p in drawn.pictures
    ]
    assert [encode_png(image) for image in last] == stripped
    assert not torch.equal(first[0], last[0])


def _image(picture):
    import io

    return Image.open(io.BytesIO(picture.png)).convert("RGB")


def test_batches_fill_up_one_after_the_other(monkeypatch):
    monkeypatch.setattr(FaceGenerator, "default_batch_size", 2)
    previews, drawn = drawn_of(Easel(tiny_generator()), replace(ASKED, count=5))
    first = next(p for p in previews if p.step == 4)
    assert [image is not None for image in first.images] == [True, True, False, False, False]
    assert (previews[-1].step, previews[-1].num_steps) == (12, 12)
    monkeypatch.setattr(FaceGenerator, "default_batch_size", 32)
    assert drawn_of(Easel(tiny_generator()), replace(ASKED, count=5))[1].pictures == drawn.pictures


def test_both_sides_of_a_comparison_start_from_the_same_noise(tmp_path):
    easel = Easel(tiny_generator())
    wish = replace(ASKED, way="compare", changed="Eyeglasses", count=2)
    _, drawn = drawn_of(easel, wish)
    assert drawn.columns == 2
    told = [(p.settings["seed"], p.settings["labels"]["Eyeglasses"]) for p in drawn.pictures]
    assert told == [(5, -1.0), (5, 1.0), (6, -1.0), (6, 1.0)]
    alone = drawn_of(easel, replace(ASKED, count=1))[1].pictures[0]
    assert np.array_equal(pixels(drawn.pictures[0], tmp_path), pixels(alone, tmp_path))
    assert not np.array_equal(pixels(drawn.pictures[0], tmp_path), pixels(drawn.pictures[1], tmp_path))
    assert len({picture.name for picture in drawn.pictures}) == 4


def test_a_negative_prompt_changes_both_sides_of_a_comparison():
    easel = Easel(tiny_generator())
    wish = Wish(way="compare", changed="Eyeglasses", count=1)
    plain, away = (drawn_of(easel, replace(wish, negative=words))[1].pictures for words in ("", "a man"))
    for before, after in zip(plain, away, strict=True):
        assert _image(before).tobytes() != _image(after).tobytes()
        assert after.settings["negative"] == "a man"


def test_a_blend_says_what_it_mixed():
    wish = Wish(way="blend", parts=(("Smiling", 25.0), ("Male", 75.0)), count=1)
    _, drawn = drawn_of(Easel(tiny_generator()), wish)
    assert drawn.pictures[0].settings["blend"] == {"Smiling": 0.25, "Male": 0.75}


def test_variations_of_a_photo(tmp_path):
    photo = tmp_path / "me.png"
    photo.write_bytes(encode_png(torch.randint(0, 256, (3, 40, 30), dtype=torch.uint8)))
    easel = Easel(tiny_generator(tiny_recipe({"kind": "semantic_encoder", "dim": 32})))
    _, drawn = drawn_of(easel, Wish(way="photo", photo=photo, count=2))
    assert [picture.settings["like"]["file"] for picture in drawn.pictures] == ["me.png", "me.png"]
    assert str(tmp_path).encode() not in drawn.pictures[0].png  # the folder goes with the studio
    photo.write_text("no picture any more")
    with pytest.raises(DataError, match=r"The photo .me\.png."):
        list(easel.draw(Wish(way="photo", photo=photo)))


def test_an_edited_photo_is_byte_for_byte_that_of_facegen_edit_but_for_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing_module, "PREVIEW_SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)  # paths within it are told
    photo = tmp_path / "uploads" / "me.png"
    photo.parent.mkdir()
    photo.write_bytes(encode_png(torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)))
    run = save_run(tmp_path)
    wish = Wish(way="photo", photo=photo, prompt="a smile", seen="a man", strength=0.5, pull=3.0)
    previews, drawn = drawn_of(Easel(load(run, "cpu")), wish)
    assert [(preview.step, preview.num_steps) for preview in previews] == [(1, 2), (2, 2)]
    options = EditOptions(
        prompt="a smile", from_prompt="a man", strength=(0.5,), out=tmp_path / "out", device="cpu"
    )
    summary = edit(photo, run, options)
    (picture,) = drawn.pictures
    with Image.open(summary.pictures[0].path) as image:
        assert np.array_equal(pixels(picture, tmp_path), np.asarray(image))
    told = json.loads(read_png_text(summary.pictures[0].path)["facegen"])
    assert told["edit"]["told"] == {"Male": 1.0}
    assert told["edit"]["photo"]["path"] == "uploads/me.png"
    assert picture.settings["edit"] == {**told["edit"], "photo": {**told["edit"]["photo"], "path": "me.png"}}
    assert picture.name == "facegen-me-png-a-smile-strength-0.5.png"
    assert list(Easel(load(run, "cpu")).draw(wish, stopped=lambda: True)) == []


def test_a_masked_edit_is_that_of_facegen_edit_and_leaves_the_photo_outside(tmp_path):
    photo, mask = tmp_path / "uploads" / "me.png", tmp_path / "uploads" / "eyes.png"
    photo.parent.mkdir()
    seen, white = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8), torch.zeros(3, 16, 16)
    white[:, 4:9] = 255
    photo.write_bytes(encode_png(seen))
    mask.write_bytes(encode_png(white.byte()))
    run = save_run(tmp_path)
    easel = Easel(load(run, "cpu"))
    wish = Wish(way="photo", photo=photo, mask=mask, prompt="a smile", strength=1.0)
    _, drawn = drawn_of(easel, wish)
    options = EditOptions(prompt="a smile", mask=mask, strength=(1.0,), out=tmp_path / "out", device="cpu")
    summary = edit(photo, run, options)
    (picture,) = drawn.pictures
    with Image.open(summary.pictures[0].path) as image:
        assert np.array_equal(pixels(picture, tmp_path), np.asarray(image))
    differs = (pixels(picture, tmp_path) != seen.permute(1, 2, 0).numpy()).any((1, 2))
    assert (differs[4:9].any(), differs[:4].any(), differs[9:].any()) == (True, False, False)
    told = json.loads(read_png_text(summary.pictures[0].path)["facegen"])["edit"]["mask"]
    assert picture.settings["edit"]["mask"] == {**told, "path": "eyes.png"}
    mask.write_bytes(encode_png(torch.zeros(3, 16, 16, dtype=torch.uint8)))
    with pytest.raises(DataError, match=r"The mask .eyes\.png. is black all over"):
        list(easel.draw(wish))


def test_a_share_that_may_change_is_found_and_shown_beside_the_picture(tmp_path):
    photo = tmp_path / "me.png"
    seen = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)
    photo.write_bytes(encode_png(seen))
    wish = Wish(way="photo", photo=photo, prompt="a smile", strength=1.0, region=0.25)
    picture, region = drawn_of(Easel(tiny_generator()), wish)[1].pictures
    assert picture.settings["edit"]["region"] == 0.25
    where = pixels(region, tmp_path)[..., 0] > 0
    differs = (pixels(picture, tmp_path) != seen.permute(1, 2, 0).numpy()).any(2)
    assert 0 < where.mean() < 0.5
    assert differs[where].any()
    assert not differs[~where].any()


def test_nonsense_is_refused_with_what_the_model_knows():
    with pytest.raises(UsageError, match="This model knows: Smiling"):
        list(Easel(tiny_generator()).draw(Wish(prompt="qwertz")))


def test_history_remembers_the_newest_and_forgets_the_oldest():
    picture = drawn_of(Easel(tiny_generator()), replace(ASKED, count=1))[1].pictures[0]
    history = History()
    for seed in range(MAX_ENTRIES + 3):
        history.add(replace(ASKED, seed=seed), picture)
    assert [entry.wish.seed for entry in history.entries][:2] == [MAX_ENTRIES + 2, MAX_ENTRIES + 1]
    assert len(history.entries) == MAX_ENTRIES
    assert len({entry.number for entry in history.entries}) == MAX_ENTRIES


def test_a_wish_drawn_again_moves_to_the_top_of_the_history():
    picture = drawn_of(Easel(tiny_generator()), replace(ASKED, count=1))[1].pictures[0]
    history = History()
    for seed in (1, 2, 1):
        history.add(replace(ASKED, seed=seed), picture)
    assert [entry.wish.seed for entry in history.entries] == [1, 2]


def test_a_drawing_that_is_stopped_ends_at_its_next_step_without_pictures():
    asked = []

    def stopped():
        asked.append(True)
        return len(asked) > 2

    drawn = list(Easel(tiny_generator()).draw(replace(ASKED, steps=50), stopped))
    assert len(asked) == 4  # two steps, the third, and before pictures are made
    assert not any(isinstance(each, Drawn) for each in drawn)
