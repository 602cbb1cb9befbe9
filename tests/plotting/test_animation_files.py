"""Animations: as many frames as asked, for as long as asked, and without loss where the format has none."""

from __future__ import annotations

import importlib.util
import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from support.figure_parts import frames_of

from facegen.errors import MissingModelError, UsageError
from facegen.plotting import animation
from facegen.plotting.animation import (
    animation_bytes,
    check_animation,
    eased,
    frame_durations,
    frame_steps,
    mosaic,
)
from facegen.plotting.animation_files import quantised

LOSSLESS = (".webp", ".png")


def pictures(frames=7, height=19, width=17):
    """Noise, with frames that look alike in the middle and at the end."""
    noise = np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    noise[3], noise[-1] = noise[2], noise[-2]
    return noise


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("fps", [7, 12, 30])
def test_frames_and_duration_are_as_asked_also_where_frames_look_alike(suffix, fps):
    frames, durations = frames_of(io.BytesIO(animation_bytes(pictures(), suffix, fps, hold=0.5)))
    unit = 10 if suffix == ".gif" else 1
    assert len(frames) == 7
    assert sum(durations) == pytest.approx(1000 * (7 / fps + 0.5), abs=unit / 2)
    assert all(abs(duration - 1000 / fps) <= unit for duration in durations[:-1])
    assert durations[-1] - durations[0] == pytest.approx(500, abs=2 * unit)


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_lossless_formats_keep_every_pixel(suffix):
    assert (frames_of(io.BytesIO(animation_bytes(pictures(), suffix, 10)))[0] == pictures()).all()


def test_a_gif_keeps_every_pixel_of_frames_of_256_colours_and_is_near_otherwise():
    few = pictures() // 64 * 64
    assert (frames_of(io.BytesIO(animation_bytes(few, ".gif", 10)))[0] == few).all()
    ramp = np.mgrid[0:64, 0:64].transpose(1, 2, 0)[..., [0, 1, 0]].astype(np.uint8) * 4
    assert np.abs(np.asarray(quantised(ramp).convert("RGB")).astype(int) - ramp).mean() < 6


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animations_repeat_without_end(suffix):
    with Image.open(io.BytesIO(animation_bytes(pictures(), suffix, 10))) as image:
        assert image.info["loop"] == 0


def test_an_mp4_has_its_frames_and_holds_the_last():
    av = pytest.importorskip("av")
    smooth = np.linspace(0, 255, 40, dtype=np.uint8)[None, :, None, None] * np.ones((6, 40, 33, 3), np.uint8)
    with av.open(io.BytesIO(animation_bytes(smooth, ".mp4", 12, hold=0.5))) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.duration / 1e6 == pytest.approx(6 / 12 + 0.5, abs=0.01)
        assert container.streams.video[0].average_rate == 12
    assert len(decoded) == 12
    assert decoded[0].shape == (40, 34, 3)
    assert np.abs(decoded[-1][:, :33].astype(int) - smooth[-1]).mean() < 4


def test_mp4_without_its_package_names_the_command(monkeypatch):
    monkeypatch.setattr(animation, "find_spec", lambda name: None)
    with pytest.raises(MissingModelError, match=r"pip install 'facegen\[video\]'") as caught:
        check_animation(".mp4", 10, 0)
    assert caught.value.exit_code == 4
    check_animation(".gif", 10, 0)
    assert importlib.util.find_spec("PIL") is not None


@pytest.mark.parametrize(
    ("suffix", "fps", "hold", "says"),
    [
        (".png", 0, 0, "--fps must be from 0.1 to 60"),
        (".gif", 51, 0, "--fps must be from 0.1 to 50 for GIF"),
        (".webp", float("nan"), 0, "--fps"),
        (".webp", 10, -1, "--hold"),
        (".webp", 10, 61, "--hold must be from 0 to 60"),
    ],
)
def test_rates_and_times_out_of_range_are_refused(suffix, fps, hold, says):
    with pytest.raises(UsageError, match=says):
        check_animation(suffix, fps, hold)


@pytest.mark.parametrize("easing", ["linear", "ease-in-out"])
@pytest.mark.parametrize(("frames", "steps"), [(2, 20), (7, 20), (21, 20), (50, 20)])
def test_easing_never_goes_back_and_ends_exactly_on_the_last_step(easing, frames, steps):
    shown = frame_steps(frames, steps, easing)
    assert len(shown) == frames
    assert (shown[0], shown[-1]) == (0, steps)
    assert all(a <= b for a, b in pairwise(shown))


def test_linear_is_even_and_ease_in_out_is_slow_at_both_ends():
    assert frame_steps(6, 20, "linear") == [0, 4, 8, 12, 16, 20]
    gaps = np.diff(eased(np.linspace(0, 1, 101), "ease-in-out"))
    assert gaps[0] < 0.1 * gaps[50]
    np.testing.assert_allclose(gaps, gaps[::-1], atol=1e-12)


def test_rounding_to_hundredths_is_spread_so_that_the_sum_is_right():
    durations = frame_durations(31, 30, 0.0, unit=0.01)
    assert sum(durations) == 103
    assert set(durations) == {3, 4}


def test_a_mosaic_of_one_is_that_picture_and_of_several_a_grid():
    faces = pictures(5, 8, 8)
    assert (mosaic(faces[:1]) == faces[0]).all()
    page = mosaic(faces, scale=2)
    assert page.shape == (2 * 16 + 2, 3 * 16 + 4, 3)
    assert (page[18:34:2, 18:34:2] == faces[4]).all()
    assert (page[18:, 36:] == 255).all()
