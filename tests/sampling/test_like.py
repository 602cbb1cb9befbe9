"""Variations of a photo and walks between two."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from support.generator_parts import save_run, tiny_generator, tiny_recipe
from support.picture_parts import SEMANTIC, jpeg_turned, photo, picture_run, pixels

from facegen.errors import DataError, UsageError
from facegen.formats.images import read_png_text
from facegen.models.fixed_rows import conditioning_of
from facegen.progress import SilentProgress
from facegen.sampling.options import SampleRequest
from facegen.sampling.photos import read_photo
from facegen.sampling.plan import plan_of
from facegen.sampling.sample import SampleOptions, sample

RED, BLUE = (200, 30, 30), (30, 30, 200)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return picture_run(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    return photo(folder / "red.png", RED), photo(folder / "blue.jpg", BLUE, quality=95)


def draw(run, out, **options):
    return sample(run, SampleOptions(out=out, **options), SilentProgress())


def test_variations_share_a_condition_and_differ_by_seed(run, photos, tmp_path):
    summary = draw(run, tmp_path / "out", like=(photos[0],), count=3, seed=4)
    assert [path.name for path in summary.paths] == [f"seed-{seed:08d}.png" for seed in (4, 5, 6)]
    images = [pixels(path) for path in summary.paths]
    assert not np.array_equal(images[0], images[1])
    settings = json.loads(read_png_text(summary.paths[1])["facegen"])
    assert settings["seed"] == 5
    assert settings["like"]["file"] == "red.png"
    assert settings["crop"] == "center"
    json.dumps(summary.to_json())
    with Image.open(summary.grid) as grid:
        assert grid.width == 4 * 130 + 2, "the photo stands first"
        assert grid.getpixel((60, 60)) == RED


def test_another_photo_gives_other_images_from_the_same_noise(run, photos, tmp_path):
    summary = draw(run, tmp_path / "out", like=photos, count=2)
    names = [f"photo-{n:02d}-seed-{seed:08d}.png" for n in (1, 2) for seed in (0, 1)]
    assert [path.name for path in summary.paths] == names
    assert not np.array_equal(pixels(summary.paths[0]), pixels(summary.paths[2]))
    alone = draw(run, tmp_path / "alone", like=photos[1:], count=2, batch_size=1)
    assert np.array_equal(pixels(summary.paths[2]), pixels(alone.paths[0]))
    told = json.loads(read_png_text(summary.paths[3])["facegen"])
    assert told["like"]["file"] == "blue.jpg"


def test_a_walk_goes_from_one_photo_to_the_other_with_one_noise(run, photos, tmp_path):
    summary = draw(run, tmp_path / "out", between=photos, frames=5, count=2)
    names = [f"seed-{seed:08d}-frame-{frame:03d}.png" for seed in (0, 1) for frame in range(5)]
    assert [path.name for path in summary.paths] == names
    first = draw(run, tmp_path / "a", like=photos[:1], count=2)
    last = draw(run, tmp_path / "b", like=photos[1:], count=2)
    for seed in (0, 1):
        assert np.array_equal(pixels(summary.paths[5 * seed]), pixels(first.paths[seed]))
        assert np.array_equal(pixels(summary.paths[5 * seed + 4]), pixels(last.paths[seed]))
    assert not np.array_equal(pixels(summary.paths[2]), pixels(summary.paths[0]))
    told = json.loads(read_png_text(summary.paths[1])["facegen"])
    assert told["position"] == 0.25
    assert [each["file"] for each in told["between"]] == ["red.png", "blue.jpg"]
    with Image.open(summary.grid) as grid:
        assert grid.width == 7 * 130 + 2, "both photos stand at the ends"


def test_a_walk_interpolates_the_condition_linearly(photos):
    generator = tiny_generator(tiny_recipe(conditioner=SEMANTIC))
    request = SampleRequest(between=photos, frames=5, count=2)
    plan = plan_of(generator, request, SilentProgress())
    walk = conditioning_of(generator.conditioner, plan.inputs, 8, generator.device).vector
    assert walk is not None
    first, last = walk[0], walk[4]
    assert not torch.allclose(first, last)
    assert first.norm() == pytest.approx(32**0.5, rel=1e-3), "all vectors have one length"
    torch.testing.assert_close(walk[1], torch.lerp(first, last, 0.25))
    torch.testing.assert_close(walk[5:], walk[:5])


def test_without_a_photo_the_model_draws_unconditionally_and_refuses_words(run, tmp_path):
    assert len(draw(run, tmp_path / "out", count=2).paths) == 2
    for given, option in (
        ({"prompt": "a woman"}, "--prompt"),
        ({"attributes": "Smiling=1"}, "--attributes"),
        ({"blend": "a:1,b:1"}, "--blend"),
    ):
        with pytest.raises(UsageError, match=f"{option} does not fit .* pictures(.|\n)*--like PHOTO"):
            draw(run, tmp_path / "no", **given)


def test_photos_are_turned_cropped_and_resized_as_prepare_does(tmp_path):
    turned = jpeg_turned(tmp_path / "turned.jpg", BLUE)
    image = read_photo(turned, "center", 16).image.int()
    assert image.shape == (3, 16, 16)
    assert image[0, 1].float().mean() > 200, "red is above"
    assert image[2, 14].float().mean() > 150, "blue is below"
    wide = photo(tmp_path / "wide.png", BLUE, size=(60, 40))
    assert (read_photo(wide, "center", 8).image.float().mean((1, 2)) == torch.tensor(BLUE)).all()
    corner = read_photo(wide, "0.2,0,0", 8).image
    assert corner.max() == 0, "the corner is black"


@pytest.mark.parametrize("crop", ["middle", "0,0.5,0.5", "1,2,0.5", "1,2"])
def test_a_crop_nobody_knows_is_refused(run, photos, tmp_path, crop):
    with pytest.raises(UsageError, match="is not a crop"):
        draw(run, tmp_path / "out", like=photos[:1], crop=crop)


def test_a_photo_that_cannot_be_read_is_named(run, photos, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff not a picture")
    with pytest.raises(DataError, match=r"broken\.jpg' cannot be used"):
        draw(run, tmp_path / "out", like=(broken,))
    with pytest.raises(DataError, match=r"nowhere\.jpg' cannot be read"):
        draw(run, tmp_path / "out", between=(photos[0], tmp_path / "nowhere.jpg"))
    assert not (tmp_path / "out").exists()


def test_a_model_of_labels_refuses_photos_and_says_what_it_takes(photos, tmp_path):
    for kind, hint in (
        ("attributes", "--attributes"),
        ("class_label", "--class"),
        ("none", "without a request"),
    ):
        run = save_run(tmp_path / kind, tiny_recipe(kind))
        with pytest.raises(UsageError, match=f"--like does not fit this model(.|\n)*{hint}"):
            draw(run, tmp_path / "out", like=photos[:1])
        with pytest.raises(UsageError, match="--between does not fit"):
            draw(run, tmp_path / "out", between=photos)
    with pytest.raises(UsageError, match="not conditioned on pictures"):
        tiny_generator().inputs_of_images(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))


def test_options_that_exclude_each_other_are_refused(run, photos, tmp_path):
    for given, message in (
        ({"like": photos, "between": photos}, "--like and --between exclude"),
        ({"like": photos, "prompt": "x"}, "--like and --prompt exclude"),
        ({"frames": 5}, "--between A B, which is not given"),
        ({"between": photos, "frames": 1}, "at least 2"),
    ):
        with pytest.raises(UsageError, match=message):
            draw(run, tmp_path / "out", **given)
