"""`facegen edit`: the photo comes back, changes where it may, and what came of it is told."""

import json
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.evaluation_parts import train_judge, write_shapes
from support.generator_parts import save_run, tiny_generator, tiny_recipe
from support.picture_parts import SEMANTIC, photo, pixels
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.errors import DataError, MissingModelError, UsageError
from facegen.models.classifier import load_classifier
from facegen.progress import SilentProgress
from facegen.sampling.edit import edit
from facegen.sampling.edit_changes import Judges, change_of
from facegen.sampling.edit_request import check_editable, edit_request, seen_labels
from facegen.sampling.options import EditOptions, ReproduceOptions, strengths
from facegen.sampling.photos import read_photo
from facegen.sampling.png_settings import read_image_settings
from facegen.sampling.reproduce import reproduce

SIZE = 16
GRAVE, SMILING = "Smiling=0,Male=0", "Smiling=1"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def face(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "me.png"
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    Image.fromarray(image).save(path)
    return path


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judge")
    return load_classifier(
        train_judge(write_shapes(folder / "data", {"train": 128, "validation": 40}), folder / "run"),
        torch.device("cpu"),
    )


def edited(run, face, out, **options):
    return edit(face, run, EditOptions(out=out, device="cpu", **options), SilentProgress())


def test_asking_for_what_is_shown_gives_the_photo_back(run, face, tmp_path):
    summary = edited(run, face, tmp_path / "same", attributes="Smiling=0", from_attributes=GRAVE)
    assert [one.strength for one in summary.pictures] == [0.6, 0.8, 1.0]
    for one in summary.pictures:
        assert np.array_equal(pixels(one.path), pixels(face))
        assert one.change.pixels == 0
    nothing = edited(run, face, tmp_path / "nothing", strength=(1.0,))
    assert np.array_equal(pixels(nothing.pictures[0].path), pixels(face))


def test_an_edit_can_be_made_again_from_its_pictures(run, face, tmp_path):
    mask = tmp_path / "mask.png"
    half = Image.new("L", (SIZE, SIZE))
    half.paste(255, (0, 0, SIZE, SIZE // 2))
    half.save(mask)
    summary = edited(
        run, face, tmp_path / "out", attributes=SMILING, from_attributes=GRAVE, strength=(0.5, 1.0), mask=mask
    )
    assert summary.told == {"Smiling": -1.0, "Male": -1.0}
    assert summary.asked == {"Smiling": 1.0, "Male": -1.0}
    names = ["changes.json", "strength-0.5.png", "strength-1.png", "strip.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    half_way, whole = (pixels(one.path) for one in summary.pictures)
    before = pixels(face)
    assert np.array_equal(whole[SIZE // 2 :], before[SIZE // 2 :])
    changes = [np.abs(each.astype(int) - before).mean() for each in (half_way, whole)]
    assert 0 < changes[0] < changes[1]
    told = json.loads((tmp_path / "out" / "changes.json").read_text())
    assert [one["change"]["pixels"] for one in told["pictures"]] == pytest.approx(changes)
    assert read_image_settings(summary.strip).format_version == 3
    for path in (summary.pictures[1].path, summary.strip):
        options = ReproduceOptions(run=run, photos=(face, mask), device="cpu")
        again = reproduce(path, options, SilentProgress())
        assert again.closeness.identical
        assert not again.reasons
    mask.unlink()
    options = ReproduceOptions(run=run, photos=(face,), device="cpu")
    with pytest.raises(MissingModelError, match=r"mask\.png(.|\n)*--photo"):
        reproduce(summary.strip, options, SilentProgress())


def test_a_region_is_found_told_and_made_again(run, face, tmp_path):
    summary = edited(
        run, face, tmp_path / "out", attributes=SMILING, from_attributes=GRAVE, strength=(1.0,), region=0.25
    )
    where = pixels(tmp_path / "out" / "region.png")[..., 0] > 0
    assert where.sum() == round(0.25 * where.size)
    picture, before = pixels(summary.pictures[0].path), pixels(face)
    assert np.array_equal(picture[~where], before[~where])
    assert not np.array_equal(picture[where], before[where])
    options = ReproduceOptions(run=run, photos=(face,), device="cpu")
    assert reproduce(summary.pictures[0].path, options, SilentProgress()).closeness.identical
    by_mask = edited(
        run, face, tmp_path / "mask", attributes=SMILING, from_attributes=GRAVE, strength=(1.0,),
        mask=tmp_path / "out" / "region.png",
    )  # fmt: skip
    assert np.array_equal(pixels(by_mask.pictures[0].path), picture)
    for asked, told in (
        ({}, "nothing is asked"),
        ({"attributes": SMILING, "mask": face}, "what --mask says"),
    ):
        with pytest.raises(UsageError, match=told):
            edited(run, face, tmp_path / "no", region=0.2, **asked)


def test_what_is_asked_rules_out_what_cannot_be_beside_it(face):
    generator = tiny_generator()
    conditioner: Any = generator.conditioner
    conditioner.attributes = ("Black_Hair", "Blond_Hair", "Wearing_Hat")
    seen = read_photo(face, "none", SIZE)
    options = EditOptions(attributes="Blond_Hair=1", from_attributes="Black_Hair=1,Wearing_Hat=0")
    request = edit_request(generator, options, seen, None, SilentProgress())
    assert request.told == {"Black_Hair": 1.0, "Wearing_Hat": -1.0}
    assert request.asked == {"Black_Hair": -1.0, "Wearing_Hat": -1.0, "Blond_Hair": 1.0}
    assert request.wanted == {"Blond_Hair": 1.0}


def test_a_classifier_reads_the_photo_and_says_what_came_of_it(judge):
    dark = torch.randint(0, 60, (3, SIZE, SIZE), generator=torch.Generator().manual_seed(3)).byte()
    bright = dark.clone()
    bright[0] += 90  # Smiling
    bright[2] += 90  # Male
    generator = tiny_generator()
    assert seen_labels(generator, judge, torch.stack([dark, bright])) == [
        {"Smiling": -1.0, "Eyeglasses": -1.0, "Male": -1.0},
        {"Smiling": 1.0, "Eyeglasses": -1.0, "Male": 1.0},
    ]
    change = change_of(dark, dark, bright, {"Smiling": 1.0, "Eyeglasses": 1.0}, Judges(judge, None, None))
    assert change.came_true == {"Smiling": True, "Eyeglasses": False}
    assert change.changed == ("Male",)
    assert change.pixels == pytest.approx(60)


def test_what_cannot_be_edited_is_refused_with_what_helps(run, face, tmp_path):
    with pytest.raises(UsageError, match=r"Unknown attribute 'Smilling'(.|\n)*Did you mean 'Smiling'"):
        edited(run, face, tmp_path / "no", attributes="Smilling=1")
    for conditioner in ("none", SEMANTIC):
        with pytest.raises(UsageError, match=r"cannot be edited(.|\n)*--preset celeba-attributes"):
            check_editable(tiny_generator(tiny_recipe(conditioner=conditioner)))
    black = tmp_path / "black.png"
    Image.new("L", (SIZE, SIZE)).save(black)
    with pytest.raises(DataError, match="black all over"):
        edited(run, face, tmp_path / "no", attributes=SMILING, mask=black)
    with pytest.raises(UsageError, match="two of the strengths"):
        edited(run, face, tmp_path / "no", attributes=SMILING, strength=(0.9, 1.0))
    for wrong in ("0", "1.2", "much", ""):
        with pytest.raises(UsageError, match="--strength"):
            strengths(wrong)
    assert strengths("1, 0.5,1") == (0.5, 1.0)
    assert not (tmp_path / "no").exists()


def test_a_photo_without_a_face_is_refused(run, tmp_path):
    if find_spec("facenet_pytorch") is None:
        pytest.skip("the finder is not there: pip install 'facegen[faces]'")
    grey = photo(tmp_path / "grey.png", (120, 130, 125), size=(120, 90))
    with pytest.raises(DataError, match=r"No face is found(.|\n)*--finder none"):
        edited(run, grey, tmp_path / "no", attributes=SMILING)
    summary = edited(run, grey, tmp_path / "out", attributes=SMILING, finder="none", strength=(1.0,))
    assert len(summary.pictures) == 1


def test_the_command_prints_what_changed(run, face, tmp_path):
    command = ["edit", str(face), "--run", str(run), "--attributes", SMILING, "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*command, "--strength", "0.5,1", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert "autoencoder alone" in done.stdout
    assert "2 in" in done.stdout
