"""`facegen plot blend` and `interpolation`: both ends of a strip are the faces sampled for them alone."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from support.figure_parts import Drawn, numbers_of
from support.generator_parts import save_run, tiny_recipe
from support.picture_parts import photo, picture_run

from facegen.errors import UsageError
from facegen.plotting import blend, interpolation
from facegen.plotting.blend import plot_blend
from facegen.plotting.interpolation import plot_interpolation
from facegen.plotting.options import two_seeds
from facegen.progress import SilentProgress
from facegen.sampling.sample import SampleOptions, sample


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("classes"), tiny_recipe("class_label"))


@pytest.fixture(scope="module")
def attribute_run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("attributes"))


def sampled(run, folder, **request):
    summary = sample(run, SampleOptions(out=folder, **request), SilentProgress())
    return np.stack([np.asarray(Image.open(path)) for path in summary.paths])


def test_a_blend_goes_from_each_part_alone_to_the_mix(run, tmp_path, monkeypatch):
    drawn = Drawn(blend, monkeypatch)
    summary = plot_blend(
        run, "young:3,old:1", tmp_path / "a.png", options=SampleOptions(seed=4, count=2), csv=True
    )
    rows = drawn.faces.reshape(2, 5, 16, 16, 3)
    common = {"seed": 4, "count": 2}
    assert (rows[:, 0] == sampled(run, tmp_path / "young", class_name="young", **common)).all()
    assert (rows[:, -1] == sampled(run, tmp_path / "old", class_name="old", **common)).all()
    assert (rows[:, 2] == sampled(run, tmp_path / "mix", blend="young:3,old:1", **common)).all()
    assert {"seed 4", "young\nold", "75 %\n25 %", "–\n100 %"} <= set(drawn.texts)
    assert numbers_of(summary).iloc[2].tolist() == [0.75, 0.25]


@pytest.mark.parametrize("way", ["words", "attributes"])
def test_between_words_the_ends_are_what_each_gives_alone(way, run, attribute_run, tmp_path, monkeypatch):
    drawn = Drawn(interpolation, monkeypatch)
    ends, model = (("young", "old"), run) if way == "words" else (("Smiling", "Male"), attribute_run)
    options = SampleOptions(seed=1, count=2)
    plot_interpolation(model, tmp_path / "a.png", words=ends, frames=4, options=options)
    rows = drawn.faces.reshape(2, 4, 16, 16, 3)
    asked = [{"class_name": end} if way == "words" else {"attributes": f"{end}=1"} for end in ends]
    for column, request in ((0, asked[0]), (-1, asked[1])):
        alone = sampled(model, tmp_path / str(column), seed=1, count=2, **request)
        assert (rows[:, column] == alone).all()
    assert not (rows[:, 1] == rows[:, 0]).all()


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_between_seeds_the_ends_are_their_faces(run, tmp_path, monkeypatch, sampler):
    drawn = Drawn(interpolation, monkeypatch)
    options = SampleOptions(class_name="old", sampler=sampler)
    plot_interpolation(run, tmp_path / "a.png", seeds=(3, 9), frames=5, options=options)
    request = {"class_name": "old", "sampler": sampler, "count": 1}
    assert len(drawn.faces) == 5
    assert (drawn.faces[0] == sampled(run, tmp_path / "3", seed=3, **request)[0]).all()
    assert (drawn.faces[-1] == sampled(run, tmp_path / "9", seed=9, **request)[0]).all()
    assert {"seed 3\n0 %", "50 %", "seed 9\n100 %"} <= set(drawn.texts)


def test_between_photos_they_stand_at_both_ends(tmp_path, monkeypatch):
    drawn, run = Drawn(interpolation, monkeypatch), picture_run(tmp_path)
    red, blue = photo(tmp_path / "red.png", (200, 0, 0)), photo(tmp_path / "blue.png", (0, 0, 200))
    plot_interpolation(run, tmp_path / "a.png", photos=(red, blue), frames=3, options=SampleOptions(count=2))
    rows = drawn.faces.reshape(2, 5, 16, 16, 3)
    assert (rows[:, 0] == (200, 0, 0)).all()
    assert (rows[:, -1] == (0, 0, 200)).all()
    assert (rows[:, 1] == sampled(run, tmp_path / "like", like=(red,), count=2)).all()
    assert (rows[:, -2] == sampled(run, tmp_path / "like2", like=(blue,), count=2)).all()


@pytest.mark.parametrize(
    ("ends", "says"),
    [
        ({}, "not of 0"),
        ({"words": ("young", "old"), "seeds": (1, 2)}, "not of 2"),
        ({"words": ("young", "old"), "frames": 1}, "at least 2"),
        ({"words": ("young", "ancient")}, "does not know 'ancient'"),
        ({"words": ("young", "old"), "options": SampleOptions(class_name="old")}, "go with --seeds alone"),
        ({"seeds": (-1, 2)}, "0 or more"),
        ({"seeds": (1, 2), "options": SampleOptions(attributes="Male=1")}, "does not fit this model"),
    ],
)
def test_ends_that_do_not_fit_are_refused(run, tmp_path, ends, says):
    with pytest.raises(UsageError, match=says):
        plot_interpolation(run, tmp_path / "a.png", **ends)


def test_two_seeds_are_read_and_anything_else_is_refused():
    assert two_seeds("3, 9") == (3, 9)
    for text in ("3", "3,9,4", "a,b"):
        with pytest.raises(UsageError, match="two whole numbers"):
            two_seeds(text)


def test_a_blend_needs_parts_the_model_knows(run, tmp_path):
    for text, says in (("young:1", "at least two"), ("young:1,ancient:1", "does not know"), ("x", "NAME:W")):
        with pytest.raises(UsageError, match=says):
            plot_blend(run, text, tmp_path / "a.png")
