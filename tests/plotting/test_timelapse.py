"""`facegen plot timelapse`: previews cut into their faces, checkpoints sampled anew, animations."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from support.figure_parts import Drawn, frames_of, numbers_of
from support.generator_parts import compact_autoencoder, save_run, tiny_generator, tiny_recipe

from facegen.config.recipe import parse_recipe
from facegen.errors import DataError, UsageError
from facegen.formats.checkpoint import load_checkpoint, save_checkpoint
from facegen.formats.run import RunDirectory
from facegen.plotting import timelapse
from facegen.plotting.timelapse import plot_timelapse
from facegen.progress import SilentProgress
from facegen.sampling.sample import SampleOptions, sample
from facegen.training.previews import denoising_preview, reconstruction_preview
from facegen.types import PromptReading

STEPS = (3, 7, 14)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with previews of ten faces at three steps, and checkpoints at two of them."""
    folder = save_run(tmp_path_factory.mktemp("run"))
    directory = RunDirectory(folder)
    directory.start(tiny_recipe())
    old = load_checkpoint(folder)
    weights = {name: 0.7 * value for name, value in old.weights().items()}
    save_checkpoint(
        folder / "checkpoints/step-00000014",
        replace(old.info, step=14),
        {"ema": weights, "model": weights},
        {},
        old.autoencoder_folder,
    )
    for step in STEPS:
        generator_at(step, directory)
    return folder


def generator_at(step, directory):
    generator = tiny_generator()
    with torch.no_grad():
        for parameter in generator.module.parameters():
            parameter *= step / 14
    inputs = generator.inputs_for(PromptReading({"Smiling": 1.0}), 10)
    denoising_preview(lambda module: generator, inputs, directory)(generator.module, step)
    return generator.generate(inputs, range(10), generator.sampling).movedim(1, -1).numpy()


def test_previews_are_cut_into_their_faces(run, tmp_path, monkeypatch):
    drawn = Drawn(timelapse, monkeypatch)
    expected = np.stack([generator_at(step, RunDirectory(run)) for step in STEPS], axis=1)
    summary = plot_timelapse(run, tmp_path / "a.png", options=SampleOptions(count=10), csv=True)
    assert (drawn.faces.reshape(expected.shape) == expected).all()
    assert {"step\n3", "step\n14", "seed 9"} <= set(drawn.texts)
    assert numbers_of(summary)["step"].tolist() == list(STEPS)


def test_a_request_takes_every_kept_checkpoint(run, tmp_path, monkeypatch):
    drawn = Drawn(timelapse, monkeypatch)
    request = {"attributes": "Male=1", "seed": 4, "count": 2}
    plot_timelapse(run, tmp_path / "a.png", options=SampleOptions(**request))
    rows = drawn.faces.reshape(2, 2, 16, 16, 3)
    for column, step in enumerate((7, 14)):
        checkpoint, folder = run / f"checkpoints/step-{step:08d}", tmp_path / str(step)
        paths = sample(checkpoint, SampleOptions(out=folder, **request), SilentProgress()).paths
        assert (rows[:, column] == np.stack([np.asarray(Image.open(path)) for path in paths])).all()
    assert not (rows[:, 0] == rows[:, 1]).all()


def test_an_animation_has_a_frame_for_every_step_and_holds_the_last(run, tmp_path):
    summary = plot_timelapse(
        run, tmp_path / "a.webp", options=SampleOptions(count=4), fps=4, hold=1, csv=True
    )
    assert frames_of(summary.path)[1] == [250, 250, 1250]
    assert numbers_of(summary)["step"].tolist() == list(STEPS)


def test_no_more_steps_than_asked_are_shown_the_first_and_last_among_them(run, tmp_path, monkeypatch):
    drawn = Drawn(timelapse, monkeypatch)
    plot_timelapse(run, tmp_path / "a.png", frames=2)
    assert [text for text in drawn.texts if text.startswith("step")] == ["step\n3", "step\n14"]


def test_an_autoencoder_shows_its_pictures_once_and_then_what_it_makes_of_them(
    run, tmp_path, monkeypatch, avatars_dataset
):
    drawn, folder = Drawn(timelapse, monkeypatch), tmp_path / "autoencoder"
    directory = RunDirectory(folder)
    recipe = {
        "task": {"kind": "autoencoding"},
        "autoencoder": {"kind": "compact"},
        "training": {"max_steps": 9},
    }
    folder.mkdir()
    directory.start(parse_recipe(recipe))
    info = replace(load_checkpoint(run).info, image_size=32)
    save_checkpoint(directory.checkpoint("step-00000009"), info, {"model": {"a": torch.ones(1)}}, {})
    held_out = avatars_dataset.split("validation")
    draw = reconstruction_preview(held_out, 4, directory, torch.device("cpu"))
    for step in (5, 9):
        draw(compact_autoencoder(), step)
    plot_timelapse(folder, tmp_path / "a.png", options=SampleOptions(count=3))
    rows = drawn.faces.reshape(3, 3, 32, 32, 3)
    assert (rows[:, 0] == held_out.images(range(3)).movedim(1, -1).numpy()).all()
    assert not (rows[:, 1] == rows[:, 0]).all()
    assert "original" in drawn.texts


def test_what_has_no_two_steps_or_does_not_fit_is_refused(run, tmp_path):
    smiling = SampleOptions(attributes="Smiling=1")
    with pytest.raises(UsageError, match="cannot be asked for anything"):
        plot_timelapse(run, tmp_path / "a.png", options=smiling, source="previews")
    with pytest.raises(UsageError, match="--fps"):
        plot_timelapse(run, tmp_path / "a.gif", fps=0)
    with pytest.raises(UsageError, match="--frames must be at least 2"):
        plot_timelapse(run, tmp_path / "a.png", frames=1)
    poor = shutil.copytree(run, tmp_path / "poor")
    shutil.rmtree(poor / "samples")
    shutil.rmtree(poor / "checkpoints/step-00000007")
    with pytest.raises(UsageError, match="0 previews"):
        plot_timelapse(poor, tmp_path / "a.png", source="previews")
    with pytest.raises(UsageError, match="1 kept checkpoints"):
        plot_timelapse(poor, tmp_path / "a.png")


def test_a_preview_of_another_size_is_refused(run, tmp_path):
    broken = shutil.copytree(run, tmp_path / "broken")
    Image.new("RGB", (100, 50)).save(broken / "samples/step-00000005.png")
    with pytest.raises(DataError, match="not a grid of pictures of 16 pixels"):
        plot_timelapse(broken, tmp_path / "a.png")
