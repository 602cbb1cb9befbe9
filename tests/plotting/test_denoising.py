"""`facegen plot denoising`: noise first, the sampled face last, levels that fall."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from support.figure_parts import Drawn, numbers_of
from support.generator_parts import save_run

from facegen.errors import UsageError
from facegen.plotting import denoising
from facegen.plotting.denoising import plot_denoising
from facegen.progress import SilentProgress
from facegen.sampling.sample import SampleOptions, sample

REQUEST = {"attributes": "Smiling=1", "seed": 3, "count": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run"))


def test_the_last_column_is_the_sampled_face_in_both_rows(run, tmp_path, monkeypatch):
    drawn = Drawn(denoising, monkeypatch)
    options = SampleOptions(**REQUEST, sampler="ddpm")
    summary = plot_denoising(run, tmp_path / "a.png", options=options, frames=3, csv=True)
    paths = sample(
        run, SampleOptions(**REQUEST, sampler="ddpm", out=tmp_path / "faces"), SilentProgress()
    ).paths
    rows = drawn.faces.reshape(2, 2, 3, 16, 16, 3)  # seeds, x_t and x0, columns
    for row, path in zip(rows, paths, strict=True):
        face = np.asarray(Image.open(path))
        assert (row[:, -1] == face).all()
        assert not (row[0, 0] == row[1, 0]).all()
    table = numbers_of(summary)
    assert table["step"].tolist() == [0, 2, 4]
    assert table["noise_level"].iloc[0] == 1
    assert 0.3 < table["noise_level"].iloc[1] < 0.7
    assert table["noise_level"].iloc[2] == 0
    assert "seed 4\npredicted x0" in drawn.texts
    assert "step 2\nt/T 0.50" in drawn.texts


@pytest.mark.parametrize(("frames", "says"), [(1, "at least 2"), (6, "5 states of a walk of 4 steps")])
def test_too_few_or_too_many_columns_are_refused(run, tmp_path, frames, says):
    with pytest.raises(UsageError, match=says):
        plot_denoising(run, tmp_path / "a.png", frames=frames)
