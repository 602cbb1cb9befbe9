"""The process that draws: what goes through its pipes, and that nobody waits for it."""

import os
import signal
import time

import pytest
from support.generator_parts import save_run

from facegen.errors import FacegenError, MissingModelError, UsageError
from facegen.models.loading import load
from facegen.studio.drawing import Drawn, Easel, Preview
from facegen.studio.model_process import ModelProcess
from facegen.studio.state import Wish

LONG = Wish(prompt="a smiling man", count=16, steps=1000)
SHORT = Wish(prompt="a smiling man", count=2, steps=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def model(run):
    with ModelProcess(run, "cpu") as model:
        yield model


def pictures(drawing):
    *_, drawn = drawing
    assert isinstance(drawn, Drawn)
    return drawn.pictures


def test_pictures_are_those_of_the_same_process(model, run):
    easel = Easel(load(run, "cpu"))
    assert pictures(model.draw(SHORT)) == pictures(easel.draw(SHORT))
    assert model.about.controls == easel.controls


def test_a_stop_is_answered_at_once_and_the_next_wish_is_drawn(model):
    stops: list[float] = []
    for seen, drawing in enumerate(model.draw(LONG, lambda: bool(stops)), 1):
        assert isinstance(drawing, Preview)
        assert drawing.num_steps == 1000
        if seen == 2:
            stops.append(time.monotonic())
    assert time.monotonic() - stops[0] < 1
    assert len(pictures(model.draw(SHORT))) == 2


def test_a_drawing_that_nobody_looks_at_any_more_is_given_up(model):
    drawing = model.draw(LONG)
    next(drawing)
    drawing.close()  # as when a window is closed
    assert len(pictures(model.draw(SHORT))) == 2


def test_words_are_read_while_it_draws(model):
    drawing = model.draw(LONG)
    next(drawing)
    reading = model.read("a smiling man with wings").reading
    drawing.close()
    assert reading.labels["Smiling"] == 1
    assert reading.not_understood == ("wings",)


def test_a_refused_prompt_is_told_and_the_next_one_is_read(model):
    assert "Smiling=1" in str(model.read("smiling, not smiling").refusal)
    assert model.read("smiling").refusal is None


def test_mistakes_come_back_as_they_are(model, tmp_path):
    with pytest.raises(UsageError, match="This model knows"):
        list(model.draw(Wish(prompt="qwertz")))
    assert len(pictures(model.draw(SHORT))) == 2
    with pytest.raises(MissingModelError), ModelProcess(tmp_path, "cpu"):
        pass


def test_a_process_that_was_killed_is_told(run):
    with ModelProcess(run, "cpu") as model:
        drawing = model.draw(LONG)
        next(drawing)
        assert model._process.pid is not None
        os.kill(model._process.pid, signal.SIGKILL)
        with pytest.raises(FacegenError, match="has ended"):
            list(drawing)
        with pytest.raises(FacegenError, match="has ended"):
            list(model.draw(SHORT))
