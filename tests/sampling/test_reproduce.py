"""An image made again from what it says of itself."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from support.generator_parts import save_run, tiny_recipe
from support.picture_parts import photo, picture_run

from facegen.errors import DataError, MissingModelError, StorageError, UsageError
from facegen.formats.checkpoint import load_checkpoint, save_checkpoint
from facegen.formats.images import encode_png, read_png_text
from facegen.progress import SilentProgress
from facegen.sampling import reproduce as module
from facegen.sampling.png_settings import read_image_settings
from facegen.sampling.reproduce import ReproduceOptions, reproduce
from facegen.sampling.sample import SampleOptions, sample


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("attributes"))


@pytest.fixture(scope="module")
def pictures_run(tmp_path_factory):
    return picture_run(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder, away from every run."""
    folder = tmp_path / "here"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def drawn(run, folder, **options):
    """Drawn from a folder above both run and pictures, as pictures tell no other paths."""
    with pytest.MonkeyPatch.context() as patch:
        if run.is_absolute():
            patch.chdir(os.path.commonpath([run, folder]))
        return sample(run, SampleOptions(out=folder / "faces", **options), SilentProgress())


def again(image, **options):
    return reproduce(image, ReproduceOptions(**options), SilentProgress())


def rewritten(image, target, **changes):
    """The same picture with other settings; a change to None takes the entry away."""
    settings = json.loads(read_png_text(image)["facegen"]) | changes
    text = json.dumps({name: value for name, value in settings.items() if value is not None})
    return carrying(image, target, text)


def carrying(image, target, text):
    pixels = torch.from_numpy(np.asarray(Image.open(image)).copy()).permute(2, 0, 1)
    target.write_bytes(encode_png(pixels, {"facegen": text}))
    return target


REQUESTS = {
    "prompt": {"prompt": "a smiling man without glasses"},
    "attributes": {"attributes": "Smiling=1,Male=0"},
    "negative": {"prompt": "smiling", "negative": "glasses"},
    "blend": {"blend": "Smiling:0.3,Male:0.3,Eyeglasses:0.1"},
    "settings": {"sampler": "ddpm", "steps": 5, "guidance": 3.0},
    "plain weights": {"weights": "model"},
}


@pytest.mark.parametrize("request_options", REQUESTS.values(), ids=REQUESTS)
def test_one_of_many_is_made_again_to_the_pixel(run, here, request_options):
    summary = drawn(run, here, count=5, seed=9, batch_size=3, **request_options)
    result = again(summary.paths[3])
    assert result.closeness.identical
    assert (result.closeness.max_difference, result.closeness.psnr) == (0, None)
    assert result.same_weights
    assert result.reasons == ()
    assert result.checkpoint == run / "checkpoints" / "step-00000007"


@pytest.mark.parametrize("request_options", [REQUESTS["prompt"], REQUESTS["blend"]])
def test_grids_and_strips_are_made_again_whole(run, here, request_options):
    summary = drawn(run, here, count=5, **request_options)
    for path in filter(None, (summary.grid, summary.strip)):
        result = again(path)
        assert result.shows == ("grid" if path == summary.grid else "strip")
        assert result.closeness.identical


def test_a_class_is_asked_for_again(tmp_path, here):
    classes = save_run(tmp_path, tiny_recipe({"kind": "class_label", "dim": 32, "column": "age"}))
    summary = drawn(classes, here, class_name="old", count=2)
    assert read_image_settings(summary.paths[1]).class_name == "old"
    assert again(summary.paths[1]).closeness.identical


def test_what_is_written_is_the_picture_and_can_be_made_again(run, here):
    summary = drawn(run, here, count=2, negative="glasses", guidance=2.0)
    result = again(summary.paths[1], out=here / "copies" / "again.png")
    assert result.out is not None
    assert again(result.out).closeness.identical
    assert read_image_settings(result.out).negative == "glasses"
    json.dumps(result.to_json())


def test_variations_of_photos_and_their_grid_are_made_again(pictures_run, here):
    photos = (photo(here / "red.png", (200, 20, 20)), photo(here / "blue.png", (20, 20, 200)))
    summary = drawn(pictures_run, here, like=photos, count=3, crop="0.5,0.5,0.5")
    told = read_image_settings(summary.paths[4])
    assert [reference.path for reference in told.like] == [photos[1].relative_to(here.parents[1]).as_posix()]
    assert again(summary.paths[4]).closeness.identical
    assert again(summary.grid).closeness.identical


def test_frames_of_walks_and_their_grid_are_made_again(pictures_run, here):
    between = (photo(here / "red.png", (200, 20, 20)), photo(here / "blue.png", (20, 20, 200)))
    summary = drawn(pictures_run, here, between=between, count=2, frames=4)
    assert all(again(path).closeness.identical for path in summary.paths[4:])
    assert again(summary.grid).closeness.identical
    first = rewritten(summary.paths[6], here / "v1.png", format_version=1, frames=None, shows=None)
    assert again(first).closeness.identical


def test_a_photo_is_found_where_it_was_from_where_it_was_typed(pictures_run, here, monkeypatch):
    photo(here / "me.png", (200, 20, 20))
    options = SampleOptions(out=here / "faces", like=(module.Path("me.png"),), count=1)
    summary = sample(pictures_run, options, SilentProgress())
    monkeypatch.chdir(here.parent)
    assert again(summary.paths[0], run=pictures_run).closeness.identical


def test_a_photo_that_moved_has_to_be_shown(pictures_run, here):
    me = photo(here / "me.png", (200, 20, 20))
    summary = drawn(pictures_run, here, like=(me,), count=1)
    moved = me.rename(here / "moved.png")
    with pytest.raises(MissingModelError, match=r"me\.png.*not there(.|\n)*--photo") as failure:
        again(summary.paths[0])
    assert failure.value.exit_code == 4
    other = photo(here / "other.png", (0, 200, 20))
    with pytest.raises(MissingModelError, match="no --photo is it"):
        again(summary.paths[0], photos=(other,))
    assert again(summary.paths[0], photos=(other, moved)).closeness.identical


def test_a_photo_that_is_not_needed_is_told(pictures_run, here):
    me, other = photo(here / "me.png", (200, 20, 20)), photo(here / "other.png", (0, 200, 20))
    summary = drawn(pictures_run, here, like=(me,))
    told = SilentProgress()
    options = ReproduceOptions(photos=(other,), device="cpu")
    assert reproduce(summary.paths[0], options, told).closeness.identical
    assert any("other.png' is not used" in warning for warning in told.warned)


def test_a_photo_that_changed_is_noticed(pictures_run, here):
    me = photo(here / "me.png", (200, 20, 20))
    summary = drawn(pictures_run, here, like=(me,), count=1)
    photo(me, (0, 200, 20))
    with pytest.raises(DataError, match=r"me\.png.*has changed") as failure:
        again(summary.paths[0])
    assert failure.value.exit_code == 3


@pytest.mark.parametrize("place", ["runs/moved", "moved"])
def test_a_run_that_moved_is_found_by_the_hash_of_its_weights(tmp_path, here, place):
    summary = drawn(save_run(tmp_path / "home"), here, count=1)
    shutil.move(tmp_path / "home" / "run", here / place)
    (here / "runs").mkdir(exist_ok=True)
    (here / "runs" / "empty").mkdir()
    result = again(summary.paths[0])
    assert result.checkpoint.parents[1] == here / place
    assert result.closeness.identical


def test_a_run_named_from_another_folder_is_found_from_the_image_upwards(run, here, monkeypatch):
    shutil.copytree(run, here / "mine" / "deep" / "run")
    summary = drawn(module.Path("mine/deep/run"), here, count=1)
    monkeypatch.chdir(here.parents[3])
    assert again(summary.paths[0]).checkpoint == here / "mine/deep/run/checkpoints/step-00000007"


def later_checkpoint(run):
    """A second checkpoint of other weights that validates better."""
    checkpoint = load_checkpoint(run)
    info = checkpoint.info
    state = {name: value + 0.01 for name, value in checkpoint.weights().items()}
    folder = run / "checkpoints" / "step-00000009"
    changed = info.__class__(**{**vars(info), "step": 9, "metrics": {"loss": 0.1}})
    save_checkpoint(folder, changed, {"model": state, "ema": state}, {}, checkpoint.autoencoder_folder)
    return folder


@pytest.mark.parametrize("named", [False, True])
def test_an_image_of_an_earlier_checkpoint_is_made_again_when_another_is_best(tmp_path, here, named):
    run = save_run(tmp_path / "home")
    summary = drawn(run, here, count=1)
    later_checkpoint(run)
    result = again(summary.paths[0], run=run if named else None)
    assert result.checkpoint.name == "step-00000007"
    assert result.closeness.identical


def test_other_weights_are_compared_and_told(tmp_path, here):
    run = save_run(tmp_path / "home")
    summary = drawn(run, here, count=1)
    other = later_checkpoint(run)
    progress = SilentProgress()
    result = reproduce(summary.paths[0], ReproduceOptions(run=other), progress)
    assert not result.same_weights
    assert not result.closeness.identical
    assert result.closeness.psnr is not None
    assert result.closeness.psnr > 0
    assert "other weights" in result.reasons[0]
    assert "other weights" in progress.warned[0]


def test_weights_that_are_nowhere_are_told_with_the_places_and_the_way_out(tmp_path, here):
    run = save_run(tmp_path / "home")
    summary = drawn(run, here, count=1)
    shutil.rmtree(run)
    with pytest.raises(MissingModelError, match=r"is not there(.|\n)*--run RUN") as failure:
        again(summary.paths[0])
    assert failure.value.exit_code == 4
    assert "step 7" in str(failure.value)
    with pytest.raises(MissingModelError, match="holds no checkpoint"):
        again(summary.paths[0], run=here)


def test_tampered_weights_are_detected(tmp_path, here):
    run = save_run(tmp_path / "home")
    summary = drawn(run, here, count=1)
    weights = run / "checkpoints" / "step-00000007" / "ema.safetensors"
    save_file({name: value * 1.01 for name, value in load_file(weights).items()}, weights)
    with pytest.raises(StorageError, match=r"ema\.safetensors' is corrupt"):
        again(summary.paths[0])


def test_an_edited_picture_is_measured_against_what_it_was(run, here):
    summary = drawn(run, here, count=1)
    pixels = np.asarray(Image.open(summary.paths[0])).copy()
    pixels[0, 0, 0] = (int(pixels[0, 0, 0]) + 10) % 256 if pixels[0, 0, 0] < 200 else pixels[0, 0, 0] - 10
    text = read_png_text(summary.paths[0])
    edited = here / "edited.png"
    edited.write_bytes(encode_png(torch.from_numpy(pixels).permute(2, 0, 1), text))
    closeness = again(edited).closeness
    assert closeness.max_difference == 10
    assert closeness.mean_difference == pytest.approx(10 / pixels.size)
    assert closeness.psnr == pytest.approx(10 * np.log10(255**2 / (100 / pixels.size)))
    assert "edited" in again(edited).reasons[0]


def test_other_versions_and_devices_are_named_as_reasons(run, here):
    summary = drawn(run, here, count=1)
    changes = {"facegen_version": "0.0.9", "torch_version": "1.0", "device": "cuda", "seed": 77}
    reasons = again(rewritten(summary.paths[0], here / "old.png", **changes)).reasons
    assert ["0.0.9 then" in reasons[0], "1.0 then" in reasons[1], "cuda then" in reasons[2]] == [True] * 3


def test_settings_of_version_1_are_read(run, here):
    summary = drawn(run, here, count=4, prompt="smiling")
    added = dict.fromkeys(("run", "torch_version", "shows", "attributes", "class"))
    old = rewritten(summary.paths[2], here / "old.png", format_version=1, **added)
    with pytest.raises(MissingModelError, match="No run has"):
        again(old)
    assert again(old, run=run).closeness.identical
    grid = rewritten(summary.grid, here / "grid.png", format_version=1, **added)
    with pytest.raises(DataError, match="may be a grid"):
        again(grid, run=run)


def test_a_newer_version_is_refused(run, here):
    summary = drawn(run, here, count=1)
    newer = rewritten(summary.paths[0], here / "new.png", format_version=4, facegen_version="9.1")
    with pytest.raises(DataError, match=r"version 4; this facegen(.|\n)*9\.1"):
        again(newer)


@pytest.mark.parametrize(
    "text",
    ["{", "[" * 200_000, "[]", "7", "{}", '{"format_version": "2"}', '{"format_version": 2}'],
    ids=range(7),
)
def test_damaged_settings_are_refused(run, here, text):
    summary = drawn(run, here, count=1)
    with pytest.raises(DataError, match="are damaged") as failure:
        again(carrying(summary.paths[0], here / "damaged.png", text))
    assert failure.value.exit_code == 3


def test_a_setting_out_of_range_is_named(run, here):
    summary = drawn(run, here, count=1)
    with pytest.raises(DataError, match="'seed'"):
        again(rewritten(summary.paths[0], here / "damaged.png", seed=-1))


def test_pictures_of_somebody_else_are_told_from_ours(run, here):
    Image.new("RGB", (16, 16)).save(here / "theirs.png")
    with pytest.raises(DataError, match="carries no settings"):
        again(here / "theirs.png")
    Image.new("RGB", (16, 16)).save(here / "photo.jpg")
    with pytest.raises(DataError, match="is not a PNG"):
        again(here / "photo.jpg")
    with pytest.raises(DataError, match="is a folder"):
        again(here)
    with pytest.raises(DataError, match="does not exist"):
        again(here / "missing.png")


def test_a_resized_picture_is_refused_before_anything_is_drawn(run, here):
    summary = drawn(run, here, count=1)
    text = read_png_text(summary.paths[0])["facegen"]
    Image.open(summary.paths[0]).resize((32, 32)).save(here / "small.png")
    with pytest.raises(DataError, match="32 x 32 pixels, but its model makes 16 x 16: it was resized"):
        again(carrying(here / "small.png", here / "large.png", text))


def test_an_image_cannot_have_code_imported(run, here):
    summary = drawn(run, here, count=1)
    evil = rewritten(summary.paths[0], here / "evil.png", sampler={"kind": "antigravity:Config"})
    with pytest.raises(DataError, match="antigravity"):
        again(evil)


def test_out_in_the_way_or_of_another_format_is_refused(run, here):
    image = drawn(run, here, count=1).paths[0]
    for out in (image, here, here / "again.jpg"):
        with pytest.raises(UsageError, match="--out"):
            again(image, out=out)
