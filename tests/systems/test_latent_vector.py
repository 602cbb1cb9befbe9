"""The preset `latent-vector` has what its system is said to have."""

import pytest
import torch
from torch import nn

from facegen.config.composition import compose
from facegen.config.kinds import load_kind
from facegen.nn.blocks import CellNorm, ResidualBlock, SpatialAttention
from facegen.types import Conditioning, LabelSchema, SampleSpec


def parts(shape, *changes):
    recipe = compose("latent-vector", overrides=changes)
    conditioner = recipe.section("conditioner")
    encoder = load_kind("conditioners", conditioner.kind).build(conditioner, LabelSchema(), SampleSpec(shape))
    section = recipe.section("denoiser")
    return encoder, load_kind("denoisers", section.kind).build(section, SampleSpec(shape), encoder.spec)


def test_the_network_is_the_systems():
    encoder, denoiser = parts((4, 16, 16))
    assert encoder.spec.vector_dim == denoiser.vector_in.in_features == 512
    assert len(denoiser.downsample) == len(denoiser.upsample) == 3
    blocks = [module for module in denoiser.modules() if isinstance(module, ResidualBlock)]
    assert all(isinstance(norm, nn.GroupNorm) for block in blocks for norm in (block.norm_in, block.norm_out))
    attending = [m for m in denoiser.modules() if isinstance(m, SpatialAttention) and m.attention is not None]
    assert len(attending) >= 6
    assert all(isinstance(module.norm, CellNorm) for module in attending)
    assert all(module.attention is not None and module.attention.num_heads == 4 for module in attending)


@pytest.mark.parametrize("shape", [(4, 16, 16), (3, 64, 64)], ids=["latents", "pixels"])
def test_vector_and_time_step_reach_every_resolution(shape):
    _, denoiser = parts(shape, "denoiser.base_channels=16", "denoiser.num_heads=2")
    blocks = [module for module in denoiser.modules() if isinstance(module, ResidualBlock)]
    seen = {}
    for number, block in enumerate(blocks):
        block.register_forward_pre_hook(lambda module, given, n=number: seen.__setitem__(n, given))

    def run(vector, timestep):
        with torch.no_grad():
            denoiser(torch.zeros(1, *shape), torch.tensor([timestep]), Conditioning(vector=vector))
        return {n: (given[0].shape[-1], blocks[n].embedding(given[1])) for n, given in seen.items()}

    torch.manual_seed(0)
    one, other = torch.randn(2, 1, 512)
    plain, changed, later = run(one, 10.0), run(other, 10.0), run(one, 900.0)
    assert len({size for size, _ in plain.values()}) == 4
    for number, (_, modulation) in plain.items():
        assert not torch.allclose(modulation, changed[number][1])
        assert not torch.allclose(modulation, later[number][1])


def test_guidance_and_mixed_precision_are_on():
    recipe = compose("latent-vector")
    assert recipe.section("conditioner").dropout > 0
    assert recipe.sampling.guidance_scale > 1
    assert recipe.training.precision == "auto"
