"""CLIP scores of folders, data sets and runs, against transformers called directly."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from support.evaluation_parts import write_shapes
from support.generator_parts import save_run
from support.known import known
from support.tiny_clip import save_tiny_clip
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.errors import DataError
from facegen.evaluation.clip_score import ClipScoreOptions, evaluate_clip_score
from facegen.evaluation.options import Selection
from facegen.formats.images import encode_png
from facegen.models.generator import FaceGenerator

CAPTIONS = ("a smiling woman", "an old man with a hat", "a face")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("clip-score")
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (12, 3, 4, 4), dtype=torch.uint8, generator=generator)
    images = images.repeat_interleave(10, 2).repeat_interleave(10, 3)  # 40 pixels, coarse
    (folder / "images").mkdir()
    for index, image in enumerate(images):
        (folder / "images" / f"{index:02d}.png").write_bytes(encode_png(image))
    return SimpleNamespace(
        clip=str(save_tiny_clip(folder / "clip")),
        images=images,
        folder=folder / "images",
        data=write_shapes(folder / "shapes", {"train": 40, "validation": 24}).folder,
        run=save_run(folder),
    )


def with_captions(place: SimpleNamespace, out: Path) -> tuple[Path, list[str]]:
    out.mkdir()
    captions = [CAPTIONS[index % 3] for index in range(12)]
    for file in place.folder.iterdir():
        (out / file.name).write_bytes(file.read_bytes())
    rows = "".join(f"{index:02d}.png,{caption}\n" for index, caption in enumerate(captions))
    (out / "metadata.csv").write_text(f"file_name,text\n{rows}")
    return out, captions


def direct_scores(place: SimpleNamespace, captions: list[str]) -> np.ndarray:
    """What transformers gives when it is called by hand: 100 times the cosine, one pair at a time."""
    from transformers import CLIPModel, CLIPTokenizer
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    model = CLIPModel.from_pretrained(place.clip).eval()
    tokenizer = CLIPTokenizer.from_pretrained(place.clip)
    processor = CLIPImageProcessorPil.from_pretrained(place.clip)
    scores = []
    for image, caption in zip(place.images, captions, strict=True):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        text = tokenizer([caption], return_tensors="pt")
        with torch.no_grad():
            output = model(**text, **processor(images=picture, return_tensors="pt"))
        scores.append(100 * float((output.image_embeds * output.text_embeds).sum()))
    return np.array(scores)


def test_scores_equal_a_direct_computation_with_transformers(place: SimpleNamespace, tmp_path: Path):
    folder, captions = with_captions(place, tmp_path / "captioned")
    expected = direct_scores(place, captions)
    assert (expected < 0).any(), "some pairs must be clipped for the test to see it"
    assert (expected > 0).any()
    expected = expected.clip(min=0)
    report = evaluate_clip_score(folder, place.clip, ClipScoreOptions(device="cpu", batch_size=5))
    assert report.score == pytest.approx(expected.mean(), rel=1e-5)
    assert report.low < report.score < report.high
    for row in report.prompts:
        own = [score for score, caption in zip(expected, captions, strict=True) if caption == row["prompt"]]
        assert row["num_samples"] == len(own) == 4
        assert row["score"] == pytest.approx(np.mean(own), rel=1e-5, abs=1e-5)
    assert [row["score"] for row in report.prompts] == sorted(row["score"] for row in report.prompts)


def test_one_prompt_is_held_against_every_image(place: SimpleNamespace):
    options = ClipScoreOptions(selection=Selection(prompt="a smiling woman"), device="cpu")
    report = evaluate_clip_score(place.folder, place.clip, options)
    expected = direct_scores(place, ["a smiling woman"] * 12).clip(min=0)
    assert report.score == pytest.approx(expected.mean(), rel=1e-5)
    assert len(report.prompts) == 1
    assert report.chance is None, "there are no other captions to swap with"


def test_a_run_is_asked_for_held_out_captions_and_keeps_its_report(place, monkeypatch: pytest.MonkeyPatch):
    asked = []
    real = FaceGenerator.generate

    def generate(self, inputs, *arguments, **options):
        asked.append(len(inputs))
        return real(self, inputs, *arguments, **options)

    monkeypatch.setattr(FaceGenerator, "generate", generate)
    selection = Selection(num_samples=8, steps=1, data=place.data)
    report = evaluate_clip_score(place.run, place.clip, ClipScoreOptions(selection=selection, device="cpu"))
    assert asked == [8]
    assert report.num_samples == known(report.real)["num_samples"] == 8
    saved = json.loads(known(report.saved_to).read_text())
    assert saved["score"] == report.score
    assert saved["clip_fingerprint"].startswith("clip:")
    assert saved["settings"]["steps"] == 1


def test_images_without_captions_are_refused_with_the_way_out(place: SimpleNamespace):
    with pytest.raises(DataError, match=r"12 of 12 images .* no caption[\s\S]*--prompt"):
        evaluate_clip_score(place.folder, place.clip, ClipScoreOptions(device="cpu"))


def test_a_folder_that_is_not_a_clip_is_refused(place: SimpleNamespace, tmp_path: Path):
    with pytest.raises(DataError, match="as CLIP"):
        evaluate_clip_score(place.folder, str(tmp_path), ClipScoreOptions(device="cpu"))


def test_a_missing_clip_exits_4_with_the_command_that_fetches_it(place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    arguments = ["eval", "clip-score", str(place.folder), "--clip", "nobody/clip", "--prompt", "a face"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 4
    assert "hf download nobody/clip" in result.stderr
    assert "--clip FOLDER" in result.stderr


def test_the_command_line_prints_the_score_as_json(place: SimpleNamespace):
    arguments = ["eval", "clip-score", str(place.folder), "--clip", place.clip, "--prompt", "a face"]
    result = CliRunner().invoke(app, [*arguments, "--json", "--quiet", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["metric"] == "clip-score"
    shown = CliRunner().invoke(app, [*arguments, "--quiet", "--device", "cpu"])
    assert "CLIP score" in shown.stdout
