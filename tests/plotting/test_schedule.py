"""`facegen plot schedule`: numbers against the closed forms, files by suffix, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facegen.config.recipe import DiffusionConfig
from facegen.errors import UsageError
from facegen.models.objective import objective_of
from facegen.plotting.schedule import plot_schedule, schedule_table


def test_rectified_flow_has_straight_paths_and_the_logit_normal_density():
    config = DiffusionConfig(parameterisation="flow", timesteps="logit_normal")
    table = schedule_table(objective_of(config))
    level = table["noise_level"].to_numpy()
    np.testing.assert_allclose(table["alpha"], 1 - level, atol=1e-12)
    np.testing.assert_allclose(table["sigma"], level, atol=1e-12)
    inner = table[(level > 0.05) & (level < 0.95)]
    t = inner["noise_level"].to_numpy()
    density = np.exp(-0.5 * np.log(t / (1 - t)) ** 2) / np.sqrt(2 * np.pi) / (t * (1 - t))
    assert np.abs(inner["density"] / density - 1).max() < 0.06


def test_uniform_timesteps_are_drawn_evenly_and_weigh_one():
    table = schedule_table(objective_of(DiffusionConfig()))
    assert np.abs(table["density"] - 1).max() < 0.06
    assert (table["loss_weight"] == 1).all()


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_the_suffix_names_the_format(tmp_path: Path, suffix: str, start: bytes):
    summary = plot_schedule("celeba-attributes", tmp_path / f"new/plot{suffix}", csv=True)
    assert summary.path.read_bytes().startswith(start)
    assert summary.csv is not None
    assert summary.csv.read_text().startswith("noise_level,alpha,sigma")


def test_the_same_figure_is_the_same_file(tmp_path: Path):
    files = [plot_schedule("celeba-attributes", tmp_path / f"{n}.svg").path.read_bytes() for n in range(2)]
    assert files[0] == files[1]


def test_without_out_it_lands_in_plots_of_the_current_folder(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert plot_schedule("celeba-attributes").path == Path("plots/celeba-attributes-schedule.png")


@pytest.mark.parametrize(
    ("subject", "out", "says"),
    [
        ("celeba-atributes", None, "Did you mean 'celeba-attributes'"),
        ("attribute-classifier", None, "no noise schedule"),
        ("celeba-attributes", "plot.gif", ".png, .svg, .pdf"),
        ("celeba-attributes", ".", "is a folder"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, monkeypatch, subject, out, says):
    monkeypatch.chdir(tmp_path)
    out = None if out is None else Path("folder.png" if out == "." else out)
    Path("folder.png").mkdir()
    with pytest.raises(UsageError) as caught:
        plot_schedule(subject, out)
    assert says in str(caught.value)
    assert not Path("plots").exists()
