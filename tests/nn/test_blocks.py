import pytest
import torch

from facegen.nn.blocks import (
    Downsample,
    GeluMlp,
    ResidualBlock,
    SpatialAttention,
    SwiGluMlp,
    Upsample,
    feature_norm,
    modulate,
)


@pytest.mark.parametrize(("channels", "groups"), [(64, 32), (48, 24), (20, 20), (7, 7), (74, 2)])
def test_group_norm_takes_the_most_groups_that_divide(channels: int, groups: int) -> None:
    assert feature_norm("group", channels).num_groups == groups


def test_instance_norm_normalises_each_channel_by_itself() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 6, 4, 4) * 5 + 3
    normed = feature_norm("instance", 6)(x)
    assert torch.allclose(normed, torch.nn.InstanceNorm2d(6)(x), atol=1e-5)


def test_modulate_scales_around_one_and_shifts() -> None:
    x, shift, scale = torch.randn(2, 3, 4), torch.randn(2, 1, 4), torch.randn(2, 1, 4)
    assert torch.allclose(modulate(x, shift, scale), x * (1 + scale) + shift, atol=1e-6)
    assert torch.equal(modulate(x, torch.zeros_like(shift), torch.zeros_like(scale)), x)


@pytest.mark.parametrize("mlp", [GeluMlp, SwiGluMlp])
def test_mlps_treat_tokens_alike(mlp) -> None:
    torch.manual_seed(0)
    layer = mlp(8, 24)
    x = torch.randn(2, 5, 8)
    assert torch.allclose(layer(x)[:, 2], layer(x[:, 2:3])[:, 0], atol=1e-6)


def test_new_residual_and_attention_blocks_are_the_identity() -> None:
    torch.manual_seed(0)
    x, embedding = torch.randn(2, 8, 4, 4), torch.randn(2, 16)
    block = ResidualBlock(8, 8, 16, norm="group", act="silu", dropout=0.0)
    attention = SpatialAttention(8, 2, norm="group", self_attention=True, context_dim=6)
    assert torch.equal(block(x, embedding), x)
    assert torch.equal(attention(x, torch.randn(2, 3, 6)), x)


def test_resampling_halves_and_doubles() -> None:
    x = torch.randn(2, 4, 6, 8)
    assert Downsample(4)(x).shape == (2, 4, 3, 4)
    assert Upsample(4)(x).shape == (2, 4, 12, 16)
