"""Models conditioned on pictures, from data to judged variations, through the real pipeline."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from support.evaluation_parts import ATTRIBUTES, train_judge, write_shapes
from support.generator_parts import DIT
from support.picture_parts import SEMANTIC
from support.tiny_dataset import write_dataset

from facegen.config.composition import compose
from facegen.config.recipe import parse_recipe
from facegen.encoding.encode import EncodeOptions, encode
from facegen.errors import DataError, UsageError
from facegen.evaluation.attributes import AttributeOptions, evaluate_attributes
from facegen.formats.images import encode_png
from facegen.formats.latents import LatentStore
from facegen.models.classifier import load_classifier
from facegen.models.generator import FaceGenerator
from facegen.models.loading import load
from facegen.progress import SilentProgress
from facegen.sampling.records import request_records, requested_inputs
from facegen.sampling.sample import SampleOptions, sample
from facegen.training.train import train

STEPS = 60


def encoded(place, out, **options):
    options = EncodeOptions(device="cpu", **options)
    return encode(place.data.folder, "identity", out, options, SilentProgress())


def trained(place, conditioner, run, steps=STEPS, **sections):
    recipe = parse_recipe(
        {
            "task": {"kind": "denoising", "validation_examples": 32},
            "data": {"path": str(place.latents)},
            "denoiser": {**DIT, "patch_size": 4},
            "conditioner": conditioner,
            "diffusion": {"parameterisation": "flow"},
            "optimizer": {"lr": 3e-3},
            "ema": {"decay": 0.95},
            "training": {
                "max_steps": steps,
                "batch_size": 32,
                "precision": "fp32",
                "preview_every_steps": steps,
                "preview_images": 2,
            },
            "sampling": {"steps": 6, "guidance_scale": 1.0},
            **sections,
        }
    )
    train(recipe, run, progress=SilentProgress(), device="cpu")
    return run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    data = write_shapes(folder / "shapes", {"train": 256, "validation": 96})
    place = SimpleNamespace(data=data, judge=train_judge(data, folder / "judge"), folder=folder)
    place.latents = folder / "latents"
    place.encoder = f"classifier:{place.judge}"
    encoded(place, place.latents, image_encoder=place.encoder)
    place.features = {
        "kind": "image_features",
        "encoder": place.encoder,
        "dim": 32,
        "feature_dim": load_classifier(place.judge, torch.device("cpu")).network.num_features,
    }
    place.semantic_run = trained(place, SEMANTIC, folder / "semantic")
    place.features_run = trained(place, place.features, folder / "features")
    return place


def test_features_stand_beside_the_latents_row_by_row(place):
    table = LatentStore.open(place.latents, verify=True).image_features
    assert table is not None
    assert table.encoder == place.encoder
    assert table.ids[:2] == ["train-0000", "train-0001"]
    assert table.ids[256] == "validation-0000"
    judge = load_classifier(place.judge, torch.device("cpu"))
    assert table.fingerprint == judge.fingerprint
    images = place.data.split("validation").images(range(8))
    torch.testing.assert_close(table.features[256:264].float(), judge.features(images), atol=2e-3, rtol=2e-3)
    train_features = table.features[:256].double()
    assert torch.tensor(table.mean) == pytest.approx(train_features.mean(0).float(), abs=1e-4)


def test_features_are_added_to_finished_latents_and_made_once(place, tmp_path):
    assert encoded(place, tmp_path / "out").images_encoded == 352
    before = LatentStore.open(tmp_path / "out")
    assert before.image_features is None
    assert encoded(place, tmp_path / "out", image_encoder=place.encoder).images_encoded == 0
    after = LatentStore.open(tmp_path / "out", verify=True)
    assert after.index.fingerprint == before.index.fingerprint
    assert after.index.image_features is not None
    features = tmp_path / "out" / after.index.image_features.name
    written = features.stat().st_mtime_ns
    encoded(place, tmp_path / "out", image_encoder=place.encoder)
    assert features.stat().st_mtime_ns == written
    encoded(place, tmp_path / "out")
    assert LatentStore.open(tmp_path / "out").image_features is not None


def test_training_without_features_names_the_command(place, tmp_path):
    encoded(place, tmp_path / "bare", limit=40)
    bare = SimpleNamespace(latents=tmp_path / "bare")
    with pytest.raises(DataError, match=f"--image-encoder {place.encoder}"):
        trained(bare, place.features, tmp_path / "run", steps=1)


@pytest.mark.parametrize("kind", ["semantic", "features"])
def test_a_variation_looks_like_its_photo(place, tmp_path, kind):
    run = getattr(place, f"{kind}_run")
    images = place.data.split("validation").images(range(8))
    photos = []
    for number, image in enumerate(images):
        photos.append(tmp_path / f"{number}.png")
        photos[-1].write_bytes(encode_png(image))
    options = SampleOptions(like=tuple(photos), count=2, out=tmp_path / "out", device="cpu")
    summary = sample(run, options, SilentProgress())
    assert len(summary.paths) == 16
    generator = load(run, "cpu")
    drawn = generator.generate(generator.inputs_of_images(images), [0] * 8, generator.sampling)
    brightness = torch.corrcoef(torch.stack([images.float().mean((1, 2, 3)), drawn.float().mean((1, 2, 3))]))
    assert brightness[0, 1] > 0.8


@pytest.mark.parametrize("kind", ["semantic", "features"])
@pytest.mark.parametrize("source", ["latents", "data set"])
def test_variations_keep_attributes_more_often_than_chance(place, kind, source):
    data = place.data.folder if source == "data set" else None
    options = AttributeOptions(num_samples=96, data=data, device="cpu", split="validation")
    report = evaluate_attributes(getattr(place, f"{kind}_run"), place.judge, options)
    assert report.kept is not None
    assert report.saved_to is not None
    assert set(report.kept) == set(ATTRIBUTES)
    for name, row in report.kept.items():
        assert row["num_images"] == 96
        assert row["margin_low"] > 0, name
        assert row["chance"] < row["agreement"] <= 1
    assert json.loads(report.saved_to.read_text())["kept"] == report.kept
    assert (report.real is None) == (source == "latents")


def test_a_run_asked_with_unrelated_pictures_keeps_nothing(place, monkeypatch):
    honest = FaceGenerator.generate

    def shuffled(self, inputs, *args, **options):
        return honest(self, inputs.roll(1, 0), *args, **options)

    monkeypatch.setattr(FaceGenerator, "generate", shuffled)
    options = AttributeOptions(num_samples=96, data=place.data.folder, device="cpu")
    report = evaluate_attributes(place.semantic_run, place.judge, options)
    assert report.kept is not None
    assert all(row["margin_low"] <= 0.02 for row in report.kept.values())


def test_pictures_that_a_model_was_trained_on_are_not_asked_with(place):
    generator = load(place.semantic_run, "cpu")
    for data in (None, place.data.folder, place.latents):
        assert request_records(generator, data, "train").split == "validation"
    asked = [
        requested_inputs(generator, request_records(generator, data, "train"), torch.arange(5))
        for data in (place.data.folder, place.latents)
    ]
    torch.testing.assert_close(asked[0], asked[1], atol=1e-2, rtol=0)


def test_requests_that_are_no_fitting_pictures_are_refused(place, tmp_path):
    with pytest.raises(UsageError, match="--attributes does not fit"):
        evaluate_attributes(
            place.semantic_run, place.judge, AttributeOptions(attributes="Male=1", device="cpu")
        )
    write_dataset(tmp_path / "small", {"validation": 4}, size=8)
    small = AttributeOptions(data=tmp_path / "small", device="cpu")
    with pytest.raises(DataError, match=r"pictures of 16 pixels, and .* has 8"):
        evaluate_attributes(place.semantic_run, place.judge, small)


def test_resuming_a_model_of_pictures_reproduces_the_uninterrupted_run(place, tmp_path):
    training = {"max_steps": 6, "batch_size": 32, "precision": "fp32", "checkpoint_every_steps": 3}
    whole = trained(place, SEMANTIC, tmp_path / "whole", training=training)
    shutil.copytree(whole, tmp_path / "stopped")
    shutil.rmtree(tmp_path / "stopped" / "checkpoints" / "step-00000006")
    recipe = compose(config_file=tmp_path / "stopped" / "recipe.yaml")
    train(recipe, tmp_path / "stopped", resume=True, progress=SilentProgress(), device="cpu")
    one, other = (
        load_file(tmp_path / name / "checkpoints" / "step-00000006" / "model.safetensors")
        for name in ("whole", "stopped")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
