"""`facegen plot animation`: the last frame is the sampled PNG; frames and walks as asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from support.figure_parts import frames_of, numbers_of
from support.generator_parts import LABELS, save_run, tiny_recipe

from facegen.errors import UsageError
from facegen.plotting.animation import Motion, plot_animation, walk_weights
from facegen.progress import SilentProgress
from facegen.sampling.sample import SampleOptions, sample

OLD = SampleOptions(class_name="old", seed=5, count=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("classes"), tiny_recipe("class_label"))


@pytest.fixture(scope="module")
def attribute_run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("attributes"))


def sampled(run, folder, **request):
    summary = sample(run, SampleOptions(out=folder, **request), SilentProgress())
    return [np.asarray(Image.open(path)) for path in summary.paths]


@pytest.mark.parametrize("suffix", [".webp", ".png"])
@pytest.mark.parametrize("what", ["x_t", "x0"])
@pytest.mark.parametrize("sampler", ["ddpm", "heun"])
def test_the_last_frame_is_the_sampled_png_pixel_for_pixel(run, tmp_path, suffix, what, sampler):
    request = {"class_name": "old", "seed": 5, "sampler": sampler, "steps": 3, "guidance": 3.0}
    (face,) = sampled(run, tmp_path / "faces", count=1, **request)
    motion = Motion(what=what, frames=6, easing="ease-in-out")
    summary = plot_animation(
        run, tmp_path / f"a{suffix}", options=SampleOptions(**request, count=1), motion=motion
    )
    frames = frames_of(summary.path)[0]
    assert len(frames) == 6
    assert (frames[-1] == face).all()
    assert not (frames[0] == face).all()


def test_several_faces_end_in_a_grid_of_their_pngs(attribute_run, tmp_path):
    request = {"attributes": "Smiling=1", "seed": 2}
    faces = sampled(attribute_run, tmp_path / "faces", count=3, **request)
    options = SampleOptions(count=3, **request)
    last = frames_of(plot_animation(attribute_run, tmp_path / "a.png", options=options).path)[0][-1]
    for number, face in enumerate(faces):
        top, left = 18 * (number // 2), 18 * (number % 2)
        assert (last[top : top + 16, left : left + 16] == face).all()


def test_without_a_number_there_is_a_frame_for_noise_and_each_step(run, tmp_path):
    summary = plot_animation(run, tmp_path / "a.gif", options=OLD, csv=True)
    table = numbers_of(summary)
    assert len(frames_of(summary.path)[0]) == 5  # the recipe has 4 steps
    assert table["step"].tolist() == [0, 1, 2, 3, 4]
    assert table["noise_level"].iloc[[0, -1]].tolist() == [1, 0]
    assert table["noise_level"].is_monotonic_decreasing
    assert table["begins_at_second"].tolist() == [0, 0.1, 0.2, 0.3, 0.4]
    assert summary.facts["Frames"] == 5
    assert summary.facts["Seconds"] == 1.5


def test_x0_is_what_the_network_predicts_from_the_noise_shown(run, tmp_path):
    first = {}
    for what in ("x_t", "x0"):
        path = tmp_path / f"{what}.png"
        first[what] = frames_of(plot_animation(run, path, options=OLD, motion=Motion(what=what)).path)[0]
    noise = torch.randn((3, 16, 16), generator=torch.Generator().manual_seed(5)) / 2  # the run's scaling
    expected = ((noise + 1) * 127.5).round().clamp(0, 255).byte().movedim(0, -1).numpy()
    assert (first["x_t"][0] == expected).all()
    assert not (first["x0"][0] == expected).all()


def test_a_walk_passes_through_each_class_and_ends_on_the_last(run, tmp_path):
    classes = LABELS.classes["age"]
    faces = [sampled(run, tmp_path / name, class_name=name, seed=5, count=1)[0] for name in classes]
    motion = Motion(walk=("all",), frames=5, easing="ease-in-out")
    options = SampleOptions(seed=5, count=1)
    summary = plot_animation(run, tmp_path / "walk.webp", options=options, motion=motion, csv=True)
    frames = frames_of(summary.path)[0]
    assert (frames[0] == faces[0]).all()
    assert (frames[-1] == faces[1]).all()
    assert not (frames[2] == faces[1]).all()
    assert list(numbers_of(summary).columns) == ["frame", *classes, "begins_at_second"]


@pytest.mark.parametrize("easing", ["linear", "ease-in-out"])
@pytest.mark.parametrize(("frames", "terms"), [(2, 2), (9, 3), (10, 4), (5, 5)])
def test_a_walk_reaches_every_term_alone_and_never_mixes_more_than_two(easing, frames, terms):
    weights = walk_weights(frames, terms, easing)
    assert torch.allclose(weights.sum(1), torch.ones(frames))
    assert ((weights > 0).sum(1) <= 2).all()
    assert (weights == 1).any(0).all()
    assert weights[0, 0] == 1
    assert weights[-1, -1] == 1


@pytest.mark.parametrize(
    ("motion", "options", "says"),
    [
        (Motion(frames=1), OLD, "--frames must be at least 2"),
        (Motion(frames=1001), OLD, "at most 1000"),
        (Motion(fps=0), OLD, "--fps"),
        (Motion(scale=0), OLD, "--scale"),
        (Motion(walk=("old",)), SampleOptions(), "at least two"),
        (Motion(walk=("old", "ancient")), SampleOptions(), "does not know 'ancient'"),
        (Motion(walk=("all",)), OLD, "leave out --prompt"),
        (Motion(walk=("all",), what="x0"), SampleOptions(), "finished faces"),
        (Motion(walk=("young", "old", "young"), frames=2), SampleOptions(), "cannot reach 3"),
        (Motion(), SampleOptions(attributes="Smiling=1"), "does not fit this model"),
    ],
)
def test_what_cannot_be_animated_is_refused(run, tmp_path, motion, options, says):
    with pytest.raises(UsageError, match=says):
        plot_animation(run, tmp_path / "a.gif", options=options, motion=motion)
    assert not (tmp_path / "a.gif").exists()


def test_a_suffix_that_does_not_move_is_refused_and_a_model_without_classes_has_no_all(
    run, attribute_run, tmp_path
):
    with pytest.raises(UsageError, match=r"\.gif, \.webp, \.png, \.mp4"):
        plot_animation(run, tmp_path / "a.svg", options=OLD)
    with pytest.raises(UsageError, match="this model has none"):
        plot_animation(attribute_run, tmp_path / "a.gif", motion=Motion(walk=("all",)))
