"""Photos drawn again: what comes back, what changes, and where."""

from dataclasses import replace

import pytest
import torch
from support.generator_parts import SHAPE, compact_autoencoder, tiny_generator, tiny_recipe

from facegen.formats.images import to_unit
from facegen.models.editing import editable, steps_of
from facegen.models.fixed_rows import encoded
from facegen.models.generator import FaceGenerator, sampling_with
from facegen.types import PromptReading

SMILING, GRAVE = ({"Smiling": 1.0, "Male": -1.0}, {"Smiling": -1.0, "Male": -1.0})


@pytest.fixture(scope="module")
def generator() -> FaceGenerator:
    return tiny_generator(autoencoder=compact_autoencoder())


@pytest.fixture(scope="module")
def images(generator: FaceGenerator) -> torch.Tensor:
    shape = (2, 3, generator.image_size, generator.image_size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def inputs(generator, labels):
    return generator.inputs_for(PromptReading(labels), 2)


def walked(generator, images, strength=1.0, told=GRAVE, **settings):
    settings = sampling_with(generator.sampling, {"guidance_scale": 3.0, **settings})
    return editable(generator, images, inputs(generator, told), settings, strength)


def drawn(photos, labels, strength=1.0):
    steps = list(photos.redrawn(inputs(photos.generator, labels), strength))
    assert len(steps) == steps_of(strength, photos.settings.steps)
    return steps[-1].x0


@pytest.mark.parametrize("diffusion", [{"parameterisation": "flow"}, {"parameterisation": "v"}])
def test_asked_for_what_they_show_photos_come_back_whole(images, diffusion):
    generator = tiny_generator(tiny_recipe(diffusion=diffusion), compact_autoencoder())
    photos = walked(generator, images)
    latents = generator.scaling.apply(encoded(generator.autoencoder, to_unit(images), generator.device))
    x0 = drawn(photos, GRAVE)
    assert torch.equal(x0, latents), "in latents to the last bit, so that it loses what the autoencoder does"
    assert not torch.equal(photos.plain, images)
    assert torch.equal(photos.finished(x0), images), "and what the autoencoder loses is put back"


def test_less_deep_into_noise_changes_less_and_shares_the_walk(generator, images):
    photos = walked(generator, images)
    whole, half = (drawn(photos, SMILING, strength) - photos.inversion.states[-1] for strength in (1.0, 0.5))
    assert 0 < half.norm() < whole.norm()
    shallow = walked(generator, images, 0.5)
    assert len(shallow.inversion.steps) == 2
    assert torch.equal(drawn(shallow, SMILING, 0.5), drawn(photos, SMILING, 0.5))


def test_a_photo_comes_out_the_same_in_any_batch(generator, images):
    photos = walked(generator, images)
    settings = photos.settings
    one = editable(generator, images[1:], inputs(generator, GRAVE)[:1], settings, 1.0)
    alone = list(one.redrawn(inputs(generator, SMILING)[:1], 1.0))[-1].x0
    assert torch.equal(alone[0], drawn(photos, SMILING)[1])


def test_outside_the_mask_no_pixel_changes(generator, images):
    where = torch.zeros(images.shape[-2:])
    where[: len(where) // 2] = 1
    photos = replace(walked(generator, images), where=where)
    x0 = drawn(photos, SMILING)
    cells = where.view(SHAPE[-2], -1, SHAPE[-1], generator.image_size // SHAPE[-1]).amax((1, 3)) > 0
    latents = photos.inversion.states[-1]
    assert torch.equal(x0[:, :, ~cells], latents[:, :, ~cells])
    finished = photos.finished(x0)
    assert torch.equal(finished[:, :, where == 0], images[:, :, where == 0])
    assert not torch.equal(finished[:, :, where > 0], images[:, :, where > 0])


class Local(torch.nn.Module):
    """A network that answers the condition in one corner alone."""

    def forward(self, x_t, timestep, condition):
        answer = 0.1 * x_t
        answer[:, :, :2, :2] += condition.vector.sum(1)[:, None, None, None]
        return answer


def test_the_region_of_a_request_is_where_the_network_answers_it(images):
    generator = tiny_generator(autoencoder=compact_autoencoder())
    photos = walked(generator, images)
    for share in (0.05, 0.25, 1.0):
        where = photos.region(inputs(generator, SMILING), share)
        assert where.shape == images.shape[-2:]
        assert int(where.sum()) == round(share * where.numel())
        assert set(where.unique().tolist()) <= {0.0, 1.0}
        assert torch.equal(where, photos.region(inputs(generator, SMILING), share))
    assert not photos.region(inputs(generator, GRAVE), 0.5).any(), "what is shown already"
    del generator.denoiser.network
    generator.denoiser.network = Local()
    corner = walked(generator, images).region(inputs(generator, SMILING), 0.04)
    side = images.shape[-1] // 2
    assert corner[:side, :side].sum() == corner.sum()


def test_what_the_autoencoder_lost_of_an_old_face_does_not_shine_through(generator, images):
    photos = walked(generator, images)
    lost = photos.images.float() - photos.plain.float()
    shifted = photos.plain.float() + 60  # as if all of it had changed
    other = photos.__class__(
        generator, images, shifted.clamp(0, 255).byte(), photos.told, photos.settings, photos.inversion
    )
    back = other.finished(photos.inversion.states[-1]).float() - photos.plain.float()
    assert back.abs().mean() < 0.05 * lost.abs().mean()
