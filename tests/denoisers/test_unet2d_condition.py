from __future__ import annotations

import pytest
import torch
from torch import nn

from facegen.config.composition import compose
from facegen.config.kinds import kind_config
from facegen.denoisers import unet2d_condition
from facegen.denoisers.unet2d_condition import ConditionUNet, Config, build
from facegen.errors import UsageError
from facegen.types import Conditioning, ConditioningSpec, SampleSpec

LATENT = SampleSpec((4, 8, 8))
CLIP = ConditioningSpec(vector_dim=512, token_dim=512, num_tokens=77)  # what clip-vit-base-patch32 gives


def small(**options) -> Config:
    settings = {"block_out_channels": [8, 16], "layers_per_block": 1, "cross_attention_levels": [0, 1]}
    return kind_config(
        "denoisers",
        {"kind": "unet2d_condition", **settings, "num_heads": 2, "norm_num_groups": 4, **options},
    )


def shaken(network: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network


def preset_network(sample: SampleSpec) -> ConditionUNet:
    return build(compose("text-ldm").section("denoiser"), sample, CLIP)


def test_the_preset_has_about_90_million_parameters() -> None:
    with torch.device("meta"):
        network = preset_network(SampleSpec((4, 32, 32)))
    assert 85e6 < sum(parameter.numel() for parameter in network.parameters()) < 95e6


def test_the_preset_maps_latents_to_latents_by_512_wide_tokens() -> None:
    network = preset_network(SampleSpec((4, 16, 16)))
    assert network.model.mid_block.attentions[0].transformer_blocks[0].attn2.to_k.in_features == 512
    nn.init.normal_(network.model.conv_out.weight)
    x_t, tokens = torch.randn(1, 4, 16, 16), torch.randn(2, 1, 9, 512)
    with torch.no_grad():
        answers = [network(x_t, torch.tensor([500.5]), Conditioning(tokens=told)) for told in tokens]
    assert answers[0].shape == x_t.shape
    assert not torch.allclose(*answers, atol=1e-4)


def test_attention_stands_where_it_is_configured() -> None:
    network = build(small(cross_attention_levels=[1]), LATENT, CLIP)
    kinds = [type(block).__name__ for block in (*network.model.down_blocks, network.model.mid_block)]
    assert kinds == ["DownBlock2D", "CrossAttnDownBlock2D", "UNetMidBlock2DCrossAttn"]
    assert [type(block).__name__ for block in network.model.up_blocks] == ["CrossAttnUpBlock2D", "UpBlock2D"]
    heads = [module.heads for name, module in network.named_modules() if name.endswith("attn2")]
    assert set(heads) == {2}


def test_fractional_timesteps_are_told_apart() -> None:
    network = shaken(build(small(), LATENT, ConditioningSpec(token_dim=6, num_tokens=3)))
    x_t, told = torch.randn(2, 4, 8, 8), Conditioning(tokens=torch.randn(2, 3, 6))
    assert not torch.equal(
        network(x_t, torch.full((2,), 7.0), told), network(x_t, torch.full((2,), 7.5), told)
    )


def test_recomputing_blocks_changes_no_gradient() -> None:
    gradients = []
    for recompute in (False, True):
        network = shaken(
            build(
                small(gradient_checkpointing=recompute), LATENT, ConditioningSpec(token_dim=6, num_tokens=3)
            )
        )
        torch.manual_seed(1)
        told = Conditioning(
            tokens=torch.randn(2, 3, 6), token_mask=torch.tensor([[True] * 3, [True] + [False] * 2])
        )
        network(torch.randn(2, 4, 8, 8), torch.tensor([1.0, 900.0]), told).square().mean().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_it_runs_in_bf16_autocast_with_a_token_mask() -> None:
    network = shaken(build(small(), LATENT, ConditioningSpec(token_dim=6, num_tokens=3)))
    told = Conditioning(tokens=torch.randn(1, 3, 6), token_mask=torch.tensor([[True, True, False]]))
    x_t, timestep = torch.randn(1, 4, 8, 8), torch.tensor([500.0])
    exact = network(x_t, timestep, told)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(
            network(x_t, timestep, told).float(), exact, atol=0.1 * exact.abs().max().item()
        )


def test_misfits_are_refused_in_words() -> None:
    with pytest.raises(UsageError, match=r"reads tokens[\s\S]*conditioner.kind=text"):
        build(small(), LATENT, ConditioningSpec(vector_dim=8))
    with pytest.raises(UsageError, match="divisible by 2, not 7x8"):
        build(small(), SampleSpec((4, 7, 8)), CLIP)
    with pytest.raises(UsageError, match=r"needs samples \(C, H, W\)"):
        build(small(), SampleSpec((256,)), CLIP)
    with pytest.raises(UsageError, match="level 2 does not exist"):
        small(cross_attention_levels=[2])
    with pytest.raises(UsageError, match="8 channels must be divisible by norm_num_groups"):
        small(norm_num_groups=16)
    with pytest.raises(UsageError, match="16 channels that attend must be divisible by num_heads"):
        small(num_heads=3, cross_attention_levels=[])
    network = build(small(), LATENT, CLIP)
    with pytest.raises(ValueError, match="got none"):
        network(torch.randn(1, 4, 8, 8), torch.zeros(1), Conditioning(vector=torch.randn(1, 512)))


def test_diffusers_is_imported_only_when_a_network_is_built() -> None:
    assert "diffusers" not in vars(unet2d_condition)
