"""Blends: the conditioning is interpolated, and the same noise goes through all of them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from support.generator_parts import LABELS, SHAPE, UNET, save_run, tiny_generator, tiny_recipe

from facegen.errors import UsageError
from facegen.formats.images import read_png_text
from facegen.progress import SilentProgress
from facegen.sampling.plan import strip_weights
from facegen.sampling.sample import SampleOptions, sample
from facegen.types import Blend, Conditioning, PromptReading

CLASSES = LABELS.classes["age"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("classes"), tiny_recipe("class_label"))


@pytest.fixture(scope="module")
def attribute_run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("attributes"))


def pixels(path):
    return torch.from_numpy(np.asarray(Image.open(path)).copy()).permute(2, 0, 1)


def test_mixing_is_the_weighted_sum_and_a_token_counts_where_any_part_has_it():
    a = Conditioning(torch.ones(2, 3), torch.ones(2, 2, 3), torch.tensor([[True, False]] * 2))
    b = Conditioning(3 * torch.ones(2, 3), torch.zeros(2, 2, 3), torch.tensor([[False, False]] * 2))
    mixed = Conditioning.mix([a, b], torch.tensor([[0.75, 0.25], [0.0, 1.0]]))
    assert mixed.vector is not None
    assert mixed.tokens is not None
    assert mixed.token_mask is not None
    assert mixed.vector[:, 0].tolist() == [1.5, 3.0]
    assert mixed.tokens[:, 0, 0].tolist() == [0.75, 0.0]
    assert mixed.token_mask.tolist() == [[True, False]] * 2
    assert Conditioning.mix([Conditioning(), Conditioning()], torch.ones(2, 2) / 2) == Conditioning()


@pytest.mark.parametrize("conditioner", ["class_label", "attributes"])
def test_a_blend_with_all_its_weight_on_one_part_is_that_part(conditioner):
    generator = tiny_generator(tiny_recipe(conditioner))
    terms = CLASSES if conditioner == "class_label" else ("Smiling", "Male")
    settings = generator.sampling
    alone = generator.generate(generator.inputs_for(PromptReading({terms[1]: 1.0}), 3), [1, 2, 3], settings)
    pure = generator.generate(generator.blend({terms[0]: 0.0, terms[1]: 2.0}, 3), [1, 2, 3], settings)
    half = generator.generate(generator.blend(dict.fromkeys(terms, 1.0), 3), [1, 2, 3], settings)
    assert torch.equal(pure, alone)
    assert not torch.equal(half, alone)


@pytest.mark.parametrize("conditioner", ["class_label", "attributes"])
def test_a_blend_interpolates_the_conditioning_and_not_the_labels(conditioner):
    generator = tiny_generator(tiny_recipe(conditioner))
    terms = CLASSES if conditioner == "class_label" else ("Smiling", "Male")
    seen = []
    denoiser = generator.module.get_submodule("denoiser")
    denoiser.register_forward_pre_hook(lambda module, given: seen.append(given[2].vector[0]))
    settings = generator.sampling.model_copy(update={"guidance_scale": 1.0, "steps": 1})
    for weights in ({terms[0]: 1}, {terms[1]: 1}, {terms[0]: 1, terms[1]: 3}):
        generator.generate(generator.blend(weights), [0], settings)
    first, second, mixed = (seen[i * len(seen) // 3] for i in range(3))
    torch.testing.assert_close(mixed, 0.25 * first + 0.75 * second)


def test_a_blend_gives_the_same_image_at_any_batch_size():
    generator = tiny_generator(tiny_recipe("attributes", denoiser=UNET))
    weights = torch.rand(11, 3, generator=torch.Generator().manual_seed(0))
    rows = [generator.inputs_for(PromptReading({name: 1.0})) for name in LABELS.attributes]
    blend = Blend.of_rows(rows, weights / weights.sum(1, keepdim=True))
    seeds, settings = list(range(11)), generator.sampling
    whole = generator.generate(blend, seeds, settings, batch_size=11)
    for batch_size in (1, 4):
        assert torch.equal(generator.generate(blend, seeds, settings, batch_size=batch_size), whole)


def test_a_class_is_drawn_by_name_and_count_from_python():
    generator = tiny_generator(tiny_recipe("class_label"))
    images = generator.sample("old", 3, seed=5).images
    assert images.shape == (3, *SHAPE)
    asked = generator.inputs_for(PromptReading({"old": 1.0}), 3)
    assert torch.equal(images, generator.generate(asked, [5, 6, 7], generator.sampling))
    mixed = generator.sample({"old": 0.5, "young": 0.5}, 3, seed=5).images
    assert not torch.equal(mixed, images)


def test_a_blend_writes_images_a_grid_and_a_strip_and_its_settings(run, tmp_path):
    progress = SilentProgress()
    options = SampleOptions(blend="young:1,Old:3", count=3, seed=7, out=tmp_path / "out")
    summary = sample(run, options, progress)
    assert [path.name for path in summary.paths] == [f"seed-{seed:08d}.png" for seed in (7, 8, 9)]
    assert summary.strip == tmp_path / "out" / "blend.png"
    assert any("sum to 4" in said and "young 0.25" in said for said in progress.said)
    settings = json.loads(read_png_text(summary.paths[0])["facegen"])
    assert settings["blend"] == {"young": 0.25, "Old": 0.75}
    json.dumps(summary.to_json())
    assert summary.strip is not None
    with Image.open(summary.strip) as strip:
        assert strip.width == 5 * 130 + 2, "from all young over the mix to all old"
        tiles = [
            torch.tensor(np.array(strip.crop((2 + 130 * i, 2, 130 + 130 * i, 130)).resize((16, 16), 0)))
            for i in range(5)
        ]
    alone = sample(run, SampleOptions(class_name="old", count=1, seed=7, out=tmp_path / "old"), progress)
    assert torch.equal(tiles[4].permute(2, 0, 1), pixels(alone.paths[0]))
    assert torch.equal(tiles[2].permute(2, 0, 1), pixels(summary.paths[0]))


def test_three_attributes_blend_into_a_strip_of_seven(attribute_run, tmp_path):
    options = SampleOptions(blend="smiling:1,a man:1,Eyeglasses:2", count=1, out=tmp_path / "out")
    summary = sample(attribute_run, options, SilentProgress())
    assert summary.reading.understood[2] == ("Eyeglasses", "Eyeglasses")
    assert summary.strip is not None
    with Image.open(summary.strip) as strip:
        assert strip.width == 7 * 130 + 2
    assert strip_weights([0.25, 0.25, 0.5])[3:].tolist() == [
        [0.5, 0.5, 0.0],
        pytest.approx([1 / 3, 0.0, 2 / 3]),
        pytest.approx([0.0, 1 / 3, 2 / 3]),
        [0.25, 0.25, 0.5],
    ]


def test_a_strip_of_two_goes_from_one_to_the_other_over_the_mix():
    assert strip_weights([0.5, 0.5]).tolist() == [[1, 0], [0.75, 0.25], [0.5, 0.5], [0.25, 0.75], [0, 1]]
    assert len(strip_weights([0.25] * 4)) == 5


def test_a_negative_leads_away_from_the_same_in_every_blend(attribute_run, tmp_path):
    blend = "Smiling:1,Male:1"
    plain = sample(attribute_run, SampleOptions(blend=blend, count=1, out=tmp_path / "a"), SilentProgress())
    steered = SampleOptions(blend=blend, negative="glasses", count=1, out=tmp_path / "b")
    assert not torch.equal(
        pixels(plain.paths[0]), pixels(sample(attribute_run, steered, SilentProgress()).paths[0])
    )


REFUSED = [
    ({"blend": "young"}, "NAME:WEIGHT"),
    ({"blend": "young:1"}, "at least two"),
    ({"blend": "young:1,old:much"}, "not 'old:much'"),
    ({"blend": "young:1,:2"}, "NAME:WEIGHT"),
    ({"blend": "young:1,"}, "NAME:WEIGHT"),
    ({"blend": "young:1,young:2"}, "'young' twice"),
    ({"blend": "young:1,odl:1"}, "Did you mean 'old'"),
    ({"blend": "young:1,old:-1"}, "must be 0 or more"),
    ({"blend": "young:1,old:nan"}, "must be 0 or more"),
    ({"blend": "young:0,old:0"}, "above 0"),
    ({"blend": "young:1,old:1", "class_name": "old"}, "--blend and --class exclude"),
    ({"blend": "young:1,old:1", "prompt": "old"}, "--blend and --prompt exclude"),
    ({"blend": "young:1,old:1", "attributes": "Male=1"}, "--blend and --attributes exclude"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_wrong_blend_is_refused_and_leaves_nothing_behind(run, tmp_path, given, message):
    with pytest.raises(UsageError, match=message):
        sample(run, SampleOptions(out=tmp_path / "out", **given), SilentProgress())
    assert list(tmp_path.iterdir()) == []


def test_an_unconditional_model_refuses_a_blend(tmp_path):
    run = save_run(tmp_path, tiny_recipe("none"))
    with pytest.raises(UsageError, match="--blend does not fit"):
        sample(run, SampleOptions(blend="young:1,old:1", out=tmp_path / "out"), SilentProgress())


def test_a_blend_that_is_no_mix_is_refused():
    with pytest.raises(ValueError, match="sum to 1"):
        Blend((torch.zeros(2, 1), torch.zeros(2, 1)), torch.ones(2, 2))
    with pytest.raises(ValueError, match="need weights"):
        Blend((torch.zeros(2, 1),), torch.ones(2, 2) / 2)
