import pytest
import torch
from support.known import known
from torch import nn

from facegen.config.kinds import kind_config
from facegen.denoisers import dit
from facegen.errors import UsageError
from facegen.types import Conditioning, ConditioningSpec, SampleSpec

LATENT = SampleSpec((4, 16, 16))


def small(**options) -> dit.Config:
    return dit.Config(**{"width": 32, "depth": 2, "num_heads": 2, **options})


@pytest.mark.parametrize("patch_size", [1, 2, 4, 8])
def test_unpatchify_undoes_patchify(patch_size: int) -> None:
    network = dit.build(small(patch_size=patch_size), SampleSpec((3, 8, 16)), ConditioningSpec())
    x = torch.randn(2, 3, 8, 16)
    patches = network._patchify(x)
    assert patches.shape == (2, 8 * 16 // patch_size**2, 3 * patch_size**2)
    assert torch.equal(network._unpatchify(patches), x)
    corner = x[0, :, :patch_size, patch_size : 2 * patch_size] if patch_size < 16 else x[0]
    assert torch.equal(patches[0, 1], corner.flatten())


@pytest.mark.parametrize("modulation", ["shared", "per_block"])
def test_blocks_start_as_the_identity(modulation: str) -> None:
    torch.manual_seed(0)
    config = small(modulation=modulation, conditioning="cross_attention")
    network = dit.build(config, LATENT, ConditioningSpec(8, 8, 3))
    seen = []
    network.blocks[-1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    x = torch.randn(2, *LATENT.shape)
    network(x, torch.rand(2), Conditioning(torch.randn(2, 8), torch.randn(2, 3, 8)))
    assert torch.allclose(seen.pop(), network.patch_in(network._patchify(x)) + network.positions)


def test_shared_modulation_saves_parameters_and_the_gated_mlp_costs_none() -> None:
    def size(**options) -> int:
        network = dit.build(dit.Config(**options), LATENT, ConditioningSpec())
        return sum(parameter.numel() for parameter in network.parameters())

    assert size(modulation="per_block") > 1.3 * size(modulation="shared")
    assert abs(size(mlp="swiglu") / size(mlp="gelu") - 1) < 0.01


def test_adaptive_norm_ignores_tokens() -> None:
    network = dit.build(small(), LATENT, ConditioningSpec(8, 8, 3))
    assert network.tokens_in is None
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    vector, x = torch.randn(2, 8), torch.randn(2, *LATENT.shape)
    with_tokens = network(x, torch.rand(2) * 0, Conditioning(vector, torch.randn(2, 3, 8)))
    assert torch.equal(network(x, torch.zeros(2), Conditioning(vector)), with_tokens)


def test_learns_to_tell_conditions_apart_within_a_few_steps() -> None:
    torch.manual_seed(0)
    network = dit.build(small(patch_size=4), SampleSpec((1, 8, 8)), ConditioningSpec(2))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    told = Conditioning(torch.eye(2))
    target = torch.stack([torch.ones(1, 8, 8), -torch.ones(1, 8, 8)])
    loss = torch.tensor(torch.inf)
    for _ in range(60):
        x_t, timestep = torch.randn(2, 1, 8, 8), torch.rand(2) * 1000
        loss = (network(x_t, timestep, told) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


def test_misfits_are_refused_in_words() -> None:
    with pytest.raises(
        UsageError, match=r"does not divide samples of 16x16[\s\S]*Allowed here: 1, 2, 4, 8, 16"
    ):
        dit.build(small(patch_size=3), LATENT, ConditioningSpec())
    with pytest.raises(UsageError, match=r"needs samples \(C, H, W\)"):
        dit.build(small(), SampleSpec((256,)), ConditioningSpec())
    with pytest.raises(UsageError, match="needs a conditioner that gives a vector"):
        dit.build(small(), LATENT, ConditioningSpec(None, 8, 3))
    with pytest.raises(UsageError, match="divisible by 4 and by num_heads 5"):
        kind_config("denoisers", {"kind": "dit", "width": 256, "num_heads": 5})


def test_every_value_that_was_asked_adds_its_own_map_to_the_patches() -> None:
    torch.manual_seed(0)
    network = dit.build(small(value_maps=True), LATENT, ConditioningSpec(vector_dim=8, num_values=6))
    tokens = []
    network.blocks[0].register_forward_hook(lambda module, inputs, output: tokens.append(inputs[0]))
    x, vector, values = torch.randn(3, *LATENT.shape), torch.randn(3, 8), torch.zeros(3, 6)
    values[1, 4] = 1
    values[2, [0, 4]] = torch.tensor([0.5, 1])
    network(x, torch.rand(3), Conditioning(vector, values=values))
    network(x, torch.rand(3), Conditioning(vector, values=torch.zeros(3, 6)))
    added = tokens[0] - tokens[1]
    maps = known(network.value_maps)
    assert torch.equal(added[0], torch.zeros_like(added[0]))
    assert torch.allclose(added[1], maps[4], atol=1e-5)
    assert torch.allclose(added[2], 0.5 * maps[0] + maps[4], atol=1e-5)


def test_maps_of_values_need_a_conditioner_that_gives_them() -> None:
    with pytest.raises(UsageError, match="asked with numbers"):
        dit.build(small(value_maps=True), LATENT, ConditioningSpec(vector_dim=8))


def test_values_go_along_with_whatever_is_done_to_conditions() -> None:
    parts = [Conditioning(torch.ones(2, 4), values=torch.full((2, 3), number)) for number in (0.0, 1.0)]
    assert known(Conditioning.cat(parts).values).shape == (4, 3)
    mixed = Conditioning.mix(parts, torch.tensor([[0.25, 0.75], [1.0, 0.0]]))
    assert torch.equal(known(mixed.values), torch.tensor([[0.75] * 3, [0.0] * 3]))
    assert known(Conditioning.cat(parts)[slice(1, 3)].values).tolist() == [[0.0] * 3, [1.0] * 3]
