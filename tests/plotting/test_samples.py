"""`facegen plot samples`: rows of requests, of classes, of held-out records, and of finished PNGs."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from support.figure_parts import Drawn, numbers_of
from support.generator_parts import LABELS, save_run, tiny_recipe
from support.picture_parts import photo, picture_run

from facegen.errors import DataError, UsageError
from facegen.plotting import samples
from facegen.plotting.samples import plot_samples
from facegen.progress import SilentProgress
from facegen.sampling.sample import SampleOptions, sample

SMILING, BESPECTACLED = SampleOptions(prompt="smiling"), SampleOptions(attributes="Eyeglasses=1,Smiling=0")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def drawn(monkeypatch):
    return Drawn(samples, monkeypatch)


def sampled(run, folder, **request):
    summary = sample(run, SampleOptions(out=folder, **request), SilentProgress())
    return np.stack([np.asarray(Image.open(path)) for path in summary.paths])


def test_every_request_is_a_row_of_the_same_seeds(run, tmp_path, drawn):
    options = SampleOptions(count=2, seed=6, guidance=3.0)
    summary = plot_samples(
        run, tmp_path / "a.png", options=options, requests=[SMILING, BESPECTACLED], csv=True
    )
    common = {"count": 2, "seed": 6, "guidance": 3.0}
    first = sampled(run, tmp_path / "first", prompt="smiling", **common)
    second = sampled(run, tmp_path / "second", attributes="Eyeglasses=1,Smiling=0", **common)
    assert (drawn.faces == np.concatenate([first, second])).all()
    assert {"smiling", "Eyeglasses=1, Smiling=0", "seed 6", "seed 7"} <= set(drawn.texts)
    assert list(numbers_of(summary)) == ["row", "request", "caption"]
    assert numbers_of(summary).iloc[0].tolist() == [0, "smiling", "seed 6"]


def test_without_requests_a_class_model_shows_a_row_a_class(tmp_path, drawn):
    run = save_run(tmp_path, tiny_recipe("class_label"))
    plot_samples(run, tmp_path / "a.png", options=SampleOptions(count=2))
    assert set(LABELS.classes["age"]) <= set(drawn.texts)
    assert len(drawn.faces) == 4


def test_without_requests_an_attribute_model_is_asked_for_held_out_labels(tmp_path, drawn, avatars_dataset):
    conditioner = {"kind": "attributes", "dim": 32, "attributes": ["Smiling", "Eyeglasses"]}
    run = save_run(tmp_path, tiny_recipe(conditioner))
    plot_samples(run, tmp_path / "a.png", options=SampleOptions(count=1), data=avatars_dataset.folder)
    for number, record in enumerate(avatars_dataset.split("validation").frame.head(6).to_dict("records")):
        smiling, glasses = record["Smiling"], record["Eyeglasses"]
        folder = tmp_path / str(number)
        alone = sampled(run, folder, attributes=f"Smiling={smiling},Eyeglasses={glasses}", count=1)
        assert (drawn.faces[number] == alone[0]).all()
        named = [name for name in ("Smiling", "Eyeglasses") if record[name] == 1]
        asked = ", ".join(named) or "none of the attributes"
        assert asked in [text.replace("\n", " ") for text in drawn.texts]


def test_an_unconditional_model_shows_one_row(tmp_path, drawn):
    run = save_run(tmp_path, tiny_recipe("none"))
    plot_samples(run, tmp_path / "a.png", options=SampleOptions(count=3))
    assert len(drawn.faces) == 3


def test_a_model_of_pictures_shows_the_photo_before_what_was_made_of_it(tmp_path, drawn):
    run, picture = picture_run(tmp_path), photo(tmp_path / "me.png", (200, 30, 30))
    plot_samples(
        run, tmp_path / "a.png", options=SampleOptions(count=2), requests=[SampleOptions(like=(picture,))]
    )
    assert len(drawn.faces) == 3
    assert (drawn.faces[0] == (200, 30, 30)).all()
    assert (drawn.faces[1:] == sampled(run, tmp_path / "faces", like=(picture,), count=2)).all()
    assert {"me.png", "photo", "seed 0"} <= set(drawn.texts)


def test_a_folder_of_sampled_pngs_is_shown_as_it_is(run, tmp_path, drawn):
    faces = sampled(run, tmp_path / "faces", prompt="smiling", count=11)
    plot_samples(tmp_path / "faces", tmp_path / "a.png")
    assert (drawn.faces == faces).all()
    assert drawn.texts.count("smiling") == 1  # in two lines, labelled once
    assert {"seed 0", "seed 10", "faces"} <= set(drawn.texts)


def test_wrong_requests_and_folders_are_refused(run, tmp_path):
    with pytest.raises(UsageError, match="does not fit this model"):
        plot_samples(run, tmp_path / "a.png", requests=[SampleOptions(class_name="old")])
    sampled(run, tmp_path / "faces", count=1)
    with pytest.raises(UsageError, match="only --count applies"):
        plot_samples(tmp_path / "faces", tmp_path / "a.png", requests=[SMILING])
    (tmp_path / "other").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "other/x.png")
    with pytest.raises(DataError, match="no settings"):
        plot_samples(tmp_path / "other", tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
