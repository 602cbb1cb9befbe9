"""`facegen eval` and `facegen plot` of pipelines that diffusers saved."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support.evaluation_parts import train_judge, write_shapes
from support.published_pipelines import save_class_pipeline, save_text_pipeline

from facegen.cli.app import app
from facegen.formats.images import encode_png
from facegen.preparation.prepare import PrepareOptions, prepare


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Pipelines of 16x16 pixels, pictures in two folders that are classes, and a judge's features."""
    root = tmp_path_factory.mktemp("published")
    judge = train_judge(write_shapes(root / "shapes", {"train": 256, "validation": 100}), root / "judge")
    torch.manual_seed(0)
    for name in ("young woman", "young man"):
        (root / "pictures" / name).mkdir(parents=True)
        for number, image in enumerate(torch.randint(0, 256, (80, 3, 16, 16), dtype=torch.uint8)):
            (root / "pictures" / name / f"{number}.png").write_bytes(encode_png(image))
    prepare("image-folder", root / "pictures", root / "data", PrepareOptions(size=16))
    return SimpleNamespace(
        root=root,
        features=f"classifier:{judge}",
        text=save_text_pipeline(root),
        classes=save_class_pipeline(root),
    )


@pytest.mark.parametrize("pipeline", ["text", "classes"])
def test_a_published_pipeline_is_judged(place: SimpleNamespace, pipeline: str, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))
    folder: Path = getattr(place, pipeline)
    about = ["--reference", str(place.root / "data"), "--features", place.features, "--device", "cpu"]
    app(["eval", "fid", str(folder), *about, "--num-samples", "60", "--steps", "2"], standalone_mode=False)
    (path,) = (folder / "evaluations").glob("fid-*.json")
    report = json.loads(path.read_text("utf-8"))
    assert report["subject_kind"] == "run"
    assert report["settings"]["guidance_scale"] == {"text": 7.5, "classes": 4.0}[pipeline]
    assert report["scores"]["fid"]["value"] > report["scores"]["fid"]["floor"] >= 0


@pytest.mark.parametrize("pipeline", ["text", "classes"])
@pytest.mark.parametrize("figure", ["schedule", "architecture", "denoising"])
def test_a_published_pipeline_is_drawn(place: SimpleNamespace, pipeline: str, figure: str, tmp_path) -> None:
    asked = {"text": ["--prompt", "hat"], "classes": ["--class", "young man"]}[pipeline]
    more = [*asked, "--steps", "4", "--frames", "3"] if figure == "denoising" else []
    subject, out = str(getattr(place, pipeline)), tmp_path / "figure.png"
    app(["plot", figure, subject, "--out", str(out), *more], standalone_mode=False)
    assert out.stat().st_size > 5000
