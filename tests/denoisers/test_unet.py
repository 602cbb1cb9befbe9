import pytest
import torch
from torch import nn

from facegen.config.kinds import kind_config
from facegen.denoisers import unet
from facegen.errors import UsageError
from facegen.types import Conditioning, ConditioningSpec, SampleSpec

SAMPLE = SampleSpec((3, 16, 16))


def small(**options) -> unet.Config:
    defaults = {"base_channels": 8, "channel_multipliers": [1, 2, 2], "num_res_blocks": 1, "num_heads": 2}
    return unet.Config(**{**defaults, **options})


def randomised(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network


@pytest.mark.parametrize("size", [(16, 16), (4, 8), (20, 12)])
def test_any_size_that_halves_evenly_goes_through(size) -> None:
    network = unet.build(small(), SAMPLE, ConditioningSpec())
    assert network(torch.randn(2, 3, *size), torch.rand(2), Conditioning()).shape == (2, 3, *size)


def test_other_sizes_are_refused_at_build_and_at_use() -> None:
    with pytest.raises(UsageError, match="divisible by 4, not 18x16"):
        unet.build(small(), SampleSpec((3, 18, 16)), ConditioningSpec())
    network = unet.build(small(), SAMPLE, ConditioningSpec())
    with pytest.raises(UsageError, match="divisible by 4, not 16x10"):
        network(torch.randn(2, 3, 16, 10), torch.rand(2), Conditioning())


def test_attention_stands_at_the_levels_asked_for() -> None:
    config = small(self_attention_levels=[1], cross_attention_levels=[0, 2])
    network = unet.build(config, SAMPLE, ConditioningSpec(None, 6, 3))

    def kinds(stages) -> set[tuple[bool, bool]]:
        return {(s.attention.attention is not None, s.attention.cross_attention is not None) for s in stages}

    assert [kinds(stages) for stages in network.down] == [{(False, True)}, {(True, False)}, {(False, True)}]
    assert [kinds(stages) for stages in network.up] == [{(False, True)}, {(True, False)}, {(False, True)}]
    assert kinds(network.middle) == {(False, True)}


def test_recomputing_changes_neither_output_nor_gradients() -> None:
    x, timestep = torch.randn(2, 3, 16, 16), torch.tensor([10.0, 900.0])
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(0)
        network = randomised(
            unet.build(small(gradient_checkpointing=recompute, dropout=0.2), SAMPLE, ConditioningSpec())
        )
        torch.manual_seed(5)  # dropout
        network(x, timestep, Conditioning()).square().sum().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        assert torch.allclose(plain, recomputed, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("recompute", [False, True])
def test_gradient_checkpointing_runs_each_block_once_more_in_the_backward_pass(recompute: bool) -> None:
    network = unet.build(small(gradient_checkpointing=recompute), SAMPLE, ConditioningSpec())
    calls: list[nn.Module] = []
    for module in network.modules():
        if isinstance(module, unet.ResidualBlock):
            module.register_forward_pre_hook(lambda block, args: calls.append(block))
    network(torch.randn(2, 3, 16, 16), torch.rand(2), Conditioning()).sum().backward()
    assert len(calls) == (2 if recompute else 1) * len(set(calls))


def test_patches_become_channels_and_pixels_again() -> None:
    network = randomised(unet.build(small(patch_size=2), SAMPLE, ConditioningSpec()))
    assert isinstance(network, unet.UNet)
    seen: list[torch.Size] = []
    network.conv_in.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape))
    x, timestep = torch.randn(2, 3, 16, 16), torch.rand(2)
    assert network(x, timestep, Conditioning()).shape == x.shape
    assert seen == [(2, 12, 8, 8)]
    with pytest.raises(UsageError, match=r"3 levels and patches of 8 needs .* by 32, not 16x16"):
        unet.build(small(patch_size=8), SAMPLE, ConditioningSpec())


def test_vectors_are_refused_naming_the_network_for_them() -> None:
    with pytest.raises(UsageError, match=r"needs samples \(C, H, W\), not \(256,\)") as refused:
        unet.build(small(), SampleSpec((256,)), ConditioningSpec())
    assert "--set denoiser.kind=vector_mlp" in str(refused.value)


def test_time_reaches_every_residual_block() -> None:
    network = randomised(unet.build(small(), SAMPLE, ConditioningSpec()))
    blocks = [module for module in network.modules() if isinstance(module, unet.ResidualBlock)]
    assert len(blocks) == 3 + 2 + 3 * 2
    network(torch.randn(2, 3, 16, 16), torch.rand(2), Conditioning()).square().sum().backward()
    slopes = [block.embedding.weight.grad for block in blocks]
    assert all(slope is not None and slope.abs().sum() > 0 for slope in slopes)


def test_misfits_are_refused_in_words() -> None:
    with pytest.raises(UsageError, match="attention level 3 does not exist; levels are 0 to 1"):
        kind_config(
            "denoisers", {"kind": "unet", "channel_multipliers": [1, 2], "self_attention_levels": [3]}
        )
    with pytest.raises(UsageError, match="must be divisible by num_heads 3"):
        kind_config("denoisers", {"kind": "unet", "num_heads": 3})
    with pytest.raises(UsageError, match="no cross-attention to read them"):
        unet.build(small(), SAMPLE, ConditioningSpec(None, 6, 3))
    with pytest.raises(UsageError, match="needs a conditioner that gives tokens"):
        unet.build(small(cross_attention_levels=[1]), SAMPLE, ConditioningSpec(6))
    with pytest.raises(UsageError, match="single cell"):
        unet.build(small(norm="instance"), SampleSpec((3, 4, 4)), ConditioningSpec())
