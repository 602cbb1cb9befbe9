"""docs/python.md, read and run from top to bottom."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from support.published_pipelines import save_pixel_pipeline
from support.python_page import BLOCKS

import facegen


@pytest.mark.slow
def test_every_task_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("downloads").mkdir()
    save_pixel_pipeline(tmp_path, side=32).rename("downloads/faces")
    names: dict[str, Any] = {}
    assert len(BLOCKS) >= 12
    for title, block in BLOCKS:
        torch.manual_seed(0)
        exec(compile(block, f"docs/python.md: {title}", "exec"), names)
    assert Path("faces.png").stat().st_size > 1000


def test_the_front_door_offers_what_its_stub_lists() -> None:
    for name in facegen.__all__:
        assert getattr(facegen, name) is not None
    with pytest.raises(AttributeError):
        _ = facegen.nothing  # pyright: ignore[reportAttributeAccessIssue]


def test_words_that_are_not_understood_are_warned_of() -> None:
    from support.generator_parts import tiny_generator

    with pytest.warns(UserWarning, match="xylophone"):
        faces = tiny_generator().sample("smiling xylophone", count=1, steps=1)
    assert len(faces) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(tiny_generator().sample(count=2, steps=1)) == 2


def test_the_core_composes_as_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from support.generator_parts import save_run

    save_run(tmp_path).rename(tmp_path / "celeba")
    monkeypatch.chdir(tmp_path)
    from facegen import Conditioning, Denoiser, Flow, Heun, UNet, guide, load

    x0, noise, t = torch.randn(2, 4, 16, 16), torch.randn(2, 4, 16, 16), torch.tensor([200.0, 800.0])
    condition, null = Conditioning(), Conditioning()
    model = Denoiser(UNet(channels=4, width=64), Flow(), predicts="v")
    loss = model.loss(x0, t, condition)
    assert loss.requires_grad
    with torch.no_grad():
        for step in Heun(guide(model, condition, null, 2.0), steps=20)(noise):
            assert step.x0.shape == noise.shape
    generator = load("celeba")
    assert isinstance(generator.denoiser, Denoiser)
    faces = generator.sample("a smiling woman", count=4, seed=0)
    assert faces.grid().width >= 2 * 16
