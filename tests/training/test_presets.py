"""Every shipped preset, at its smoke size: train, lose the last checkpoint, resume, sample, be judged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_dataset import write_autoencoder, write_dataset
from support.tiny_text_encoder import save_tiny_text_encoder

from facegen.autoencoders import load_autoencoder
from facegen.config.composition import compose, preset_names
from facegen.config.recipe import DRAWING_TASKS, FEW_STEP, Recipe
from facegen.encoding.encode import EncodeOptions, encode
from facegen.evaluation.attributes import AttributeOptions, evaluate_attributes
from facegen.evaluation.distribution import DistributionOptions, evaluate
from facegen.evaluation.reconstruction import ReconstructionOptions, evaluate_reconstruction
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.checkpoint_head import list_checkpoints
from facegen.formats.images import encode_png
from facegen.progress import SilentProgress
from facegen.sampling.sample import SampleOptions, sample
from facegen.training.train import train

COUNTS = {"train": 40, "validation": 20}
SIZES = {"pixel-28-grey": 28, "pixel-32": 32, "pixel-128": 128}  # all others: 64
CHANGES = {
    "pixel-class": ["conditioner.column=age_group"],
    "pixel-class-small": ["conditioner.column=age_group"],
    "class-classifier": ["task.class_column=age_group"],
}
TEACHERS = {"flow-dit-few": "flow-dit"}
CLASSES = {"vector-diffusion": "Smiling"}  # asked for by --class; all others: old


class Pieces:
    """Data sets, latents and runs that several presets need, each made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.text_encoder = save_tiny_text_encoder(folder / "text-encoder")

    def dataset(self, size: int) -> Path:
        folder = self.folder / f"faces-{size}"
        return folder if folder.exists() else write_dataset(folder, COUNTS, size).folder

    def latents(self, autoencoder: str | None = None) -> Path:
        """Latents by the run of a preset, or by an untrained autoencoder of factor 4."""
        out = self.folder / f"latents-{autoencoder}"
        if out.exists():
            return out
        source = self.run(autoencoder) if autoencoder else write_autoencoder(self.folder / "autoencoder")
        options = EncodeOptions(flips=True, text_encoder=str(self.text_encoder), device="cpu")
        encode(self.dataset(64), str(source), out, options, SilentProgress())
        return out

    def run(self, preset: str) -> Path:
        """The finished run of a preset's smoke size."""
        run = self.folder / "runs" / preset
        if not run.exists():
            train(self.recipe(preset), run, device="cpu")
        return run

    def judge(self, size: int) -> Path:
        """An attribute classifier for images of `size` pixels."""
        run = self.folder / "judges" / str(size)
        if not run.exists():
            changes = [f"data.path={self.dataset(size)}"]
            train(compose("attribute-classifier", overrides=changes, size="smoke"), run, device="cpu")
        return run

    def recipe(self, preset: str) -> Recipe:
        plain = compose(preset, size="smoke")
        changes = [*CHANGES.get(preset, []), f"data.path={self.data_of(preset, plain)}"]
        if plain.conditioner is not None and plain.conditioner["kind"] == "text":
            changes.append(f"conditioner.encoder={self.text_encoder}")
        if plain.task["kind"] == FEW_STEP:
            changes.append(f"task.teacher={self.run(TEACHERS[preset])}")
        return compose(preset, overrides=changes, size="smoke")

    def data_of(self, preset: str, recipe: Recipe) -> Path:
        if recipe.task["kind"] not in DRAWING_TASKS or recipe.autoencoder is not None:
            return self.dataset(SIZES.get(preset, 64))
        return self.latents("vae-gan" if preset == "vector-diffusion" else None)

    def photo(self) -> Path:
        path = self.folder / "photo.png"
        path.write_bytes(encode_png(torch.full((3, 80, 64), 128, dtype=torch.uint8)))
        return path


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Pieces:
    return Pieces(tmp_path_factory.mktemp("presets"))


@pytest.mark.parametrize("preset", preset_names())
def test_a_preset_trains_resumes_samples_and_is_judged(preset: str, pieces: Pieces, tmp_path: Path) -> None:
    run = pieces.run(preset)
    assert_resuming_makes_the_same_weights(run, pieces.recipe(preset), tmp_path / "resumed")
    JUDGES[load_checkpoint(run).info.task](preset, run, pieces, tmp_path)


def assert_resuming_makes_the_same_weights(run: Path, recipe: Recipe, copy: Path) -> None:
    shutil.copytree(run, copy)
    for folder in list_checkpoints(copy)[1:]:
        shutil.rmtree(folder)
    train(recipe, copy, resume=True, device="cpu")
    wanted, got = (load_checkpoint(folder, "latest") for folder in (run, copy))
    assert got.info.step == wanted.info.step == recipe.training.max_steps
    for name in ("model", "ema"):
        weights = got.weights(name)
        assert all(torch.equal(weights[key], value) for key, value in wanted.weights(name).items())


def judge_generator(preset: str, run: Path, pieces: Pieces, tmp_path: Path) -> None:
    options = SampleOptions(**request(preset, pieces), count=2, out=tmp_path / "faces", device="cpu")
    summary = sample(run, options, SilentProgress())
    assert len(summary.paths) == 2
    size = SIZES.get(preset, 64)
    scoring = DistributionOptions(
        features=f"classifier:{pieces.judge(size)}", num_samples=16, split="train", device="cpu"
    )
    report = evaluate(run, pieces.dataset(size), ("fid",), scoring, SilentProgress())
    assert report.score > 0


def request(preset: str, pieces: Pieces) -> dict[str, Any]:
    """What a model of this preset can be asked for."""
    conditioner = pieces.recipe(preset).conditioner
    assert conditioner is not None
    requests: dict[str, dict[str, Any]] = {
        "attributes": {"prompt": "smiling"},
        "class_label": {"class_name": CLASSES.get(preset, "old")},
        "text": {"prompt": "a smiling face"},
        "semantic_encoder": {"like": (pieces.photo(),)},
        "none": {},
    }
    return requests[conditioner["kind"]]


def judge_autoencoder(preset: str, run: Path, pieces: Pieces, tmp_path: Path) -> None:
    loaded = load_autoencoder(run)
    latent = loaded.module.latent_shape(64)
    encode(pieces.dataset(64), str(run), tmp_path / "latents", EncodeOptions(device="cpu"), SilentProgress())
    assert loaded.module.decode(torch.zeros(1, *latent)).shape == (1, 3, 64, 64)
    report = evaluate_reconstruction(run, pieces.dataset(64), ReconstructionOptions(device="cpu"))
    assert report.num_samples == COUNTS["validation"]


def judge_classifier(preset: str, run: Path, pieces: Pieces, tmp_path: Path) -> None:
    metrics = load_checkpoint(run).info.metrics
    assert 0 <= metrics["accuracy"] <= 1
    if pieces.recipe(preset).task["class_column"] is None:
        options = AttributeOptions(num_samples=4, data=pieces.dataset(64), grid_images=2, device="cpu")
        report = evaluate_attributes(pieces.run("celeba-attributes"), run, options, SilentProgress())
        assert report.num_samples == 4


JUDGES: dict[str, Callable[[str, Path, Pieces, Path], None]] = {
    "denoising": judge_generator,
    "few_step": judge_generator,
    "autoencoding": judge_autoencoder,
    "adversarial_autoencoding": judge_autoencoder,
    "attribute_classification": judge_classifier,
}
