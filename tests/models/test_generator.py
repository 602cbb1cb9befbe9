import pytest
import torch
from support.generator_parts import DIT, LABELS, SHAPE, UNET, tiny_generator, tiny_recipe

from facegen.errors import MissingModelError, UsageError
from facegen.models.loading import load
from facegen.types import PromptReading

SMILING = PromptReading({"Smiling": 1.0})


def settings(generator, **changes):
    return generator.sampling.model_copy(update=changes)


def requests(generator):
    """Eight different requests, one row each."""
    torch.manual_seed(2)
    return torch.randint(-1, 2, (8, len(LABELS.attributes))).float()


@pytest.mark.parametrize("denoiser", [DIT, UNET], ids=["dit", "unet"])
@pytest.mark.parametrize("flow", [False, True], ids=["eps", "flow"])
@pytest.mark.parametrize("sampler", [{"kind": "dpmpp_2m"}, {"kind": "ddim", "eta": 1.0}], ids=["2m", "ddim"])
def test_the_same_seed_gives_the_same_image_at_any_batch_size(denoiser, flow, sampler):
    diffusion = {"parameterisation": "flow" if flow else "eps"}
    generator = tiny_generator(tiny_recipe(denoiser=denoiser, diffusion=diffusion))
    inputs, seeds = requests(generator), list(range(40, 48))
    chosen = settings(generator, sampler=sampler, steps=5)
    whole = generator.generate(inputs, seeds, chosen, batch_size=8)
    assert whole.dtype == torch.uint8
    assert whole.shape == (8, *SHAPE)
    assert len({bytes(image.flatten().tolist()) for image in whole}) == 8
    for batch_size in (1, 3):
        assert torch.equal(generator.generate(inputs, seeds, chosen, batch_size=batch_size), whole)


@pytest.mark.parametrize("denoiser", [DIT, UNET], ids=["dit", "unet"])
def test_samples_are_equal_to_the_last_bit_wherever_they_stand_in_a_batch(denoiser):
    generator = tiny_generator(tiny_recipe(denoiser=denoiser))
    inputs, seeds = requests(generator), list(range(8))

    def samples(order):
        walk = generator.trajectory(inputs[order], [seeds[i] for i in order], generator.sampling)
        return list(walk)[-1].x0

    whole = samples([0, 1, 2, 3, 4, 5, 6, 7])
    for order in ([7], [3, 0], [6, 4, 2, 0, 1, 3, 5, 7, 2, 2, 4]):
        assert torch.equal(samples(order), whole[order])


def test_a_decoder_gives_the_same_image_at_any_batch_size():
    from support.generator_parts import compact_autoencoder

    generator = tiny_generator(autoencoder=compact_autoencoder())
    x0 = torch.randn(11, *SHAPE, generator=torch.Generator().manual_seed(0))
    whole = generator.decode(x0)
    assert whole.shape == (11, 3, generator.image_size, generator.image_size)
    assert torch.equal(torch.cat([generator.decode(x0[i : i + 3]) for i in range(0, 11, 3)]), whole)


def test_decoding_undoes_the_latent_scaling():
    generator = tiny_generator()
    x0 = torch.tensor([-2.0, 0.0, 2.0]).view(1, 3, 1, 1).expand(1, *SHAPE)
    assert generator.decode(x0)[0, :, 0, 0].tolist() == [0, 128, 255]


def test_another_seed_or_another_request_gives_another_image():
    generator = tiny_generator()
    asked, unasked = generator.inputs_for(SMILING), generator.inputs_for(PromptReading({}))
    chosen = settings(generator)
    image = generator.generate(asked, [1], chosen)
    assert torch.equal(generator.generate(asked, [1], chosen), image)
    assert not torch.equal(generator.generate(asked, [2], chosen), image)
    assert not torch.equal(generator.generate(unasked, [1], chosen), image)


def test_a_negative_request_takes_the_null_conditions_place():
    generator = tiny_generator()
    asked = generator.inputs_for(SMILING)
    chosen = settings(generator, guidance_scale=3.0)
    plain = generator.generate(asked, [1], chosen)
    null = generator.conditioner.null_inputs(1)
    assert torch.equal(generator.generate(asked, [1], chosen, negative_inputs=null), plain)
    away = generator.inputs_for(PromptReading({"Eyeglasses": 1.0}))
    assert not torch.equal(generator.generate(asked, [1], chosen, negative_inputs=away), plain)


def test_walks_show_every_step_of_every_batch_and_the_last_one_is_the_image():
    generator = tiny_generator()
    inputs, seeds = generator.inputs_for(SMILING, 3), [1, 2, 3]
    walks = list(generator.walks(inputs, seeds, settings(generator), batch_size=2))
    assert [(rows.start, step.index) for rows, step in walks] == [(s, i) for s in (0, 2) for i in range(4)]
    assert [step.is_last for _, step in walks] == [False, False, False, True] * 2
    images = generator.generate(inputs, seeds, settings(generator), batch_size=2)
    assert torch.equal(generator.decode(walks[-1][1].x0), images[2:])


def test_a_preview_leaves_a_module_in_training_as_it_was():
    generator = tiny_generator()
    expected = generator.generate(generator.inputs_for(SMILING), [1], settings(generator))
    generator.module.train()
    images = generator.generate(generator.inputs_for(SMILING), [1], settings(generator))
    assert torch.equal(images, expected)
    assert generator.module.training
    assert all(parameter.grad is None for parameter in generator.module.parameters())


def test_generating_does_not_touch_the_global_random_state():
    generator = tiny_generator()
    before = torch.get_rng_state()
    generator.generate(generator.inputs_for(SMILING), [1], settings(generator, sampler={"kind": "ddpm"}))
    assert torch.equal(torch.get_rng_state(), before)


def test_as_many_seeds_as_requests_are_needed():
    generator = tiny_generator()
    with pytest.raises(UsageError, match="3 requests"):
        generator.trajectory(generator.inputs_for(SMILING, 3), [1, 2], settings(generator))


def test_loading_from_a_folder_without_a_checkpoint_says_what_was_looked_for(tmp_path):
    with pytest.raises(MissingModelError, match="no checkpoint"):
        load(tmp_path, "cpu")


def test_an_absent_device_is_refused(tmp_path):
    with pytest.raises(UsageError, match="Unknown device"):
        load(tmp_path, "abacus")
