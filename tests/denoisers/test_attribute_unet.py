from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from facegen.config.kinds import kind_config
from facegen.denoisers import attribute_unet
from facegen.errors import UsageError
from facegen.nn.attention import CrossAttention, SelfAttention
from facegen.nn.blocks import ResidualBlock
from facegen.types import Conditioning, ConditioningSpec, SampleSpec

LATENT = SampleSpec((4, 32, 32))
TOKENS = ConditioningSpec(None, 256, 40)
STAGES = {
    "inc": (64, 32, 32),
    "down1": (128, 16, 16),
    "down2": (256, 8, 8),
    "bottleneck": (256, 8, 8),
    "up1": (128, 16, 16),
    "up2": (64, 32, 32),
    "out": (4, 32, 32),
}
ATTENDING = {"inc", "down2", "bottleneck"}


def full() -> attribute_unet.AttributeUNet:
    torch.manual_seed(0)
    return attribute_unet.build(attribute_unet.Config(), LATENT, TOKENS)


def small(size: tuple[int, int] = (8, 8), spec: ConditioningSpec | None = None) -> nn.Module:
    torch.manual_seed(0)
    config = attribute_unet.Config(base_channels=8, num_heads=2, time_dim=16)
    network = attribute_unet.build(config, SampleSpec((4, *size)), spec or ConditioningSpec(None, 6, 3))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return network.eval()


def test_the_stages_have_the_stated_shapes_at_the_latents_of_256_pixels() -> None:
    network = full()
    seen: dict[str, tuple[int, ...]] = {}
    for name in STAGES:

        def note(module, args, output, name=name) -> None:
            seen[name] = tuple(output.shape[1:])

        network.get_submodule(name).register_forward_hook(note)
    told = Conditioning(tokens=torch.randn(2, 40, 256))
    assert network(torch.randn(2, 4, 32, 32), torch.tensor([3.0, 900.0]), told).shape == (2, 4, 32, 32)
    assert seen == STAGES


def test_the_number_of_parameters_is_the_stated_one() -> None:
    assert sum(parameter.numel() for parameter in full().parameters()) == 5_060_388


def test_cross_attention_stands_at_the_three_named_places_and_nowhere_else() -> None:
    network = full()
    places = {
        name.split(".")[0]: module
        for name, module in network.named_modules()
        if isinstance(module, CrossAttention)
    }
    assert set(places) == ATTENDING
    assert sum(isinstance(module, CrossAttention | SelfAttention) for module in network.modules()) == 3
    assert {module.num_heads for module in places.values()} == {4}
    assert {module.kv.in_features for module in places.values()} == {256}


def test_attention_runs_over_all_forty_tokens() -> None:
    network, lengths = full(), []
    for module in network.modules():
        if isinstance(module, CrossAttention):
            module.kv.register_forward_hook(lambda m, args, output: lengths.append(output.shape[1]))
    network(torch.randn(1, 4, 32, 32), torch.zeros(1), Conditioning(tokens=torch.randn(1, 40, 256)))
    assert lengths == [40, 40, 40]


def test_blocks_are_instance_norm_relu_and_3x3_convolution_with_a_256_wide_time_embedding() -> None:
    blocks = [m for m in full().modules() if isinstance(m, attribute_unet.TimeResidualBlock)]
    assert len(blocks) == 6
    assert not any(isinstance(module, ResidualBlock) for module in full().modules())
    for block in blocks:
        assert block.time.in_features == 256
        assert block.conv_in.kernel_size == block.conv_out.kernel_size == (3, 3)
        for norm in (block.norm_in, block.norm_out):
            assert norm.num_groups == norm.num_channels  # a group per channel is instance norm
            x = torch.randn(2, norm.num_channels, 5, 5)
            torch.testing.assert_close(norm(x), nn.functional.instance_norm(x), rtol=1e-4, atol=1e-5)


def test_time_reaches_every_block_in_spite_of_instance_norm() -> None:
    network = small()
    blocks = [m for m in network.modules() if isinstance(m, attribute_unet.TimeResidualBlock)]
    told = Conditioning(tokens=torch.randn(2, 3, 6))
    network(torch.randn(2, 4, 8, 8), torch.tensor([3.0, 700.0]), told).square().sum().backward()
    slopes = [block.time.weight.grad for block in blocks]
    assert min(float(slope.abs().max()) for slope in slopes if slope is not None) > 1e-3
    assert all(slope is not None for slope in slopes)

    block, x = blocks[0], torch.randn(1, 8, 8, 8)
    changed = block(x, torch.ones(1, 16)) - block(x, torch.zeros(1, 16))
    assert changed.abs().mean() > 0.01  # added before the norm, nothing would be left of it


def test_the_mean_of_a_channel_comes_through() -> None:
    network = small()
    told, time = Conditioning(tokens=torch.randn(1, 3, 6)), torch.tensor([100.0])
    x = torch.randn(1, 4, 8, 8)
    brighter = network(x + 2.0, time, told) - network(x, time, told)
    assert brighter.mean(dim=(2, 3)).abs().max() > 0.05


@pytest.mark.parametrize("size", [(8, 8), (4, 8), (20, 12)])
def test_any_size_divisible_by_four_goes_through(size: tuple[int, int]) -> None:
    answer = small(size)(torch.randn(2, 4, *size), torch.rand(2), Conditioning(tokens=torch.randn(2, 3, 6)))
    assert answer.shape == (2, 4, *size)


def test_a_mask_of_all_tokens_is_no_mask() -> None:
    network, tokens = small(), torch.randn(2, 3, 6)
    x, time = torch.randn(2, 4, 8, 8), torch.tensor([5.0, 500.0])

    def answer(mask: Tensor | None) -> Tensor:
        return network(x, time, Conditioning(tokens=tokens, token_mask=mask))

    everything = torch.ones(2, 3, dtype=torch.bool)
    torch.testing.assert_close(answer(None), answer(everything), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(answer(None), answer(everything & torch.tensor([True, False, True])))


def test_misfits_are_refused_in_words() -> None:
    with pytest.raises(UsageError, match="divisible by 4, not 18x16"):
        small((18, 16))
    with pytest.raises(UsageError, match="single cell from 4x4, and instance norm leaves nothing"):
        small((4, 4))
    with pytest.raises(UsageError, match="single cell"):
        small()(torch.randn(2, 4, 4, 4), torch.rand(2), Conditioning(tokens=torch.randn(2, 3, 6)))
    with pytest.raises(UsageError, match="this conditioner gives none"):
        small(spec=ConditioningSpec(12))
    with pytest.raises(UsageError, match=r"samples \(C, H, W\), not \(256,\)"):
        attribute_unet.build(attribute_unet.Config(), SampleSpec((256,)), TOKENS)
    with pytest.raises(UsageError, match="base_channels 64 must be divisible by num_heads 3"):
        kind_config("denoisers", {"kind": "attribute_unet", "num_heads": 3})
