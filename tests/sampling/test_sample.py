import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.generator_parts import save_run, tiny_generator, tiny_recipe

from facegen.config.recipe import parse_recipe
from facegen.errors import StorageError, UsageError
from facegen.formats.images import read_png_text
from facegen.models.loading import load
from facegen.progress import SilentProgress
from facegen.sampling.sample import SampleOptions, sample
from facegen.types import PromptReading


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("attributes"))


def pixels(path):
    return torch.from_numpy(np.asarray(Image.open(path)).copy()).permute(2, 0, 1)


def test_a_prompt_gives_images_named_by_seed_and_a_grid(run, tmp_path):
    progress = SilentProgress()
    out = tmp_path / "out" / "faces"
    options = SampleOptions(prompt="a smiling man without glasses", seed=40, count=3, out=out)
    summary = sample(run, options, progress)
    assert [path.name for path in summary.paths] == [f"seed-000000{seed}.png" for seed in (40, 41, 42)]
    assert sorted(path.name for path in out.iterdir()) == [
        "grid.png",
        *(path.name for path in summary.paths),
    ]
    assert summary.reading.labels == {"Smiling": 1.0, "Male": 1.0, "Eyeglasses": -1.0}
    assert "'smiling' as" in progress.said[0]
    assert progress.warned == []
    json.dumps(summary.to_json())


def test_a_sampled_image_is_what_the_generator_makes_of_its_settings(run, tmp_path):
    out = tmp_path / "faces"
    options = SampleOptions(attributes="Smiling=1,Male=0", seed=5, count=2, out=out, sampler="ddim", steps=3)
    summary = sample(run, options, SilentProgress())
    settings = json.loads(read_png_text(summary.paths[1])["facegen"])
    assert settings["seed"] == 6
    assert settings["labels"] == {"Smiling": 1.0, "Male": -1.0}
    assert settings["sampler"]["kind"] == "ddim"
    assert (settings["steps"], settings["guidance_scale"]) == (3, 2.0)
    assert len(settings["model_sha256"]) == 64

    generator = tiny_generator()
    inputs = generator.inputs_for(PromptReading(settings["labels"]))
    chosen = generator.sampling.model_copy(update={"sampler": settings["sampler"], "steps": 3})
    assert torch.equal(generator.generate(inputs, [6], chosen)[0], pixels(summary.paths[1]))


def test_the_same_seed_gives_the_same_file_at_any_batch_size_and_count(run, tmp_path):
    one = sample(run, SampleOptions(seed=3, count=1, out=tmp_path / "one"), SilentProgress())
    many = sample(run, SampleOptions(count=5, batch_size=2, out=tmp_path / "many"), SilentProgress())
    assert torch.equal(pixels(one.paths[0]), pixels(many.paths[3]))


def test_plain_weights_can_be_asked_for(run, tmp_path):
    averaged = sample(run, SampleOptions(count=1, out=tmp_path / "ema"), SilentProgress())
    plain = sample(run, SampleOptions(count=1, out=tmp_path / "model", weights="model"), SilentProgress())
    assert averaged.settings["model_sha256"] != plain.settings["model_sha256"]
    assert not torch.equal(pixels(averaged.paths[0]), pixels(plain.paths[0]))


def test_words_not_understood_are_told_with_what_is_known(run, tmp_path):
    progress = SilentProgress()
    options = SampleOptions(prompt="a smiling pirate", count=1, out=tmp_path / "out")
    assert sample(run, options, progress).reading.not_understood == ("pirate",)
    assert "'pirate'" in progress.warned[0]
    assert "Eyeglasses" in progress.warned[0]


REFUSED = [
    (SampleOptions(prompt="zebra crossing"), "Nothing in"),
    (SampleOptions(attributes="Smilling=1"), "Did you mean 'Smiling'"),
    (SampleOptions(class_name="young"), "--class does not fit"),
    (SampleOptions(prompt="smiling", sampler="ddmi"), "Did you mean 'dd"),
    (SampleOptions(steps=0), "steps"),
    (SampleOptions(steps=2000), "1000 timesteps"),
    (SampleOptions(count=0), "--count"),
    (SampleOptions(seed=-1), "--seed"),
    (SampleOptions(batch_size=0), "--batch-size"),
    (SampleOptions(guidance=-1.0), "guidance_scale"),
    (SampleOptions(prompt="smiling", negative="glasses", guidance=1.0), "through guidance"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_wrong_request_is_refused_and_leaves_nothing_behind(run, tmp_path, options, message):
    out = tmp_path / "made" / "out"
    with pytest.raises(UsageError, match=message):
        sample(run, SampleOptions(**{**vars(options), "out": out}), SilentProgress())
    assert not out.exists()
    assert not out.parent.exists() or list(out.parent.iterdir()) == []


def test_output_in_the_way_is_refused_and_kept(run, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="in the way"):
        sample(run, SampleOptions(count=1, out=tmp_path), SilentProgress())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_folder_one_is_in_is_no_place_for_samples(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="the folder you are in"):
        sample(run, SampleOptions(count=1, out=Path(".")), SilentProgress())


def test_the_longest_name_a_folder_may_have_will_do(run, tmp_path):
    out = tmp_path / ("x" * 250)
    assert sample(run, SampleOptions(count=1, out=out), SilentProgress()).grid.parent == out
    with pytest.raises(StorageError, match="name too long"):
        sample(run, SampleOptions(count=1, out=tmp_path / ("x" * 300)), SilentProgress())


def test_without_out_the_next_free_folder_is_used(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [sample(run, SampleOptions(count=1), SilentProgress()).grid.parent for _ in range(2)]
    assert [str(folder) for folder in folders] == ["samples/0001", "samples/0002"]


def test_a_failure_half_way_leaves_no_folder(run, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("facegen.sampling.sample.encode_png", full)
    with pytest.raises(StorageError, match="No space left"):
        sample(run, SampleOptions(count=1, out=tmp_path / "out"), SilentProgress())
    assert list(tmp_path.iterdir()) == []


def test_a_class_model_takes_a_class_and_refuses_attributes(tmp_path):
    run = save_run(tmp_path, tiny_recipe("class_label"))
    summary = sample(run, SampleOptions(class_name="old", count=1, out=tmp_path / "a"), SilentProgress())
    assert summary.settings["labels"] == {"old": 1.0}
    for wrong, message in [
        (SampleOptions(attributes="Smiling=1"), "trained on classes"),
        (SampleOptions(class_name="odl"), "Did you mean 'old'"),
        (SampleOptions(prompt="a smiling woman"), "knows the classes young, old"),
    ]:
        with pytest.raises(UsageError, match=message):
            sample(run, SampleOptions(**{**vars(wrong), "out": tmp_path / "b"}), SilentProgress())


def test_an_unconditional_model_refuses_a_prompt_but_samples_without_one(tmp_path):
    run = save_run(tmp_path, tiny_recipe("none"))
    with pytest.raises(UsageError, match="trained on no condition"):
        sample(run, SampleOptions(prompt="smiling", out=tmp_path / "out"), SilentProgress())
    assert len(sample(run, SampleOptions(count=2, out=tmp_path / "out"), SilentProgress()).paths) == 2


def test_a_run_of_another_task_is_refused(tmp_path):
    recipe = parse_recipe(
        {
            "task": {"kind": "autoencoding"},
            "autoencoder": {"kind": "identity"},
            "training": {"max_steps": 1},
        }
    )
    run = save_run(tmp_path)
    info = run / "checkpoints" / "step-00000007" / "checkpoint.json"
    data = json.loads(info.read_text())
    info.write_text(json.dumps({**data, "recipe": recipe.model_dump(mode="json")}))
    with pytest.raises(UsageError, match="autoencoding"):
        sample(run, SampleOptions(prompt="smiling", out=tmp_path / "out"), SilentProgress())


def test_weights_that_do_not_fit_their_recipe_are_refused(tmp_path):
    run = save_run(tmp_path)
    info = run / "checkpoints" / "step-00000007" / "checkpoint.json"
    data = json.loads(info.read_text())
    data["recipe"]["denoiser"]["depth"] = 3
    info.write_text(json.dumps(data))
    with pytest.raises(StorageError, match="do not fit"):
        load(run, "cpu")
