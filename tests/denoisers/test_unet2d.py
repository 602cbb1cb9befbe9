from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from facegen.compat import guard_torchvision
from facegen.config.kinds import kind_config
from facegen.denoisers import unet2d
from facegen.denoisers.unet2d import Config, build
from facegen.errors import UsageError
from facegen.types import Conditioning, ConditioningSpec, SampleSpec

PIXELS, ALONE, TOLD = SampleSpec((3, 8, 8)), ConditioningSpec(), ConditioningSpec(vector_dim=6)


def small(**options) -> Config:
    settings = {"block_out_channels": [8, 16], "layers_per_block": 1, "attention_levels": [1]}
    return kind_config("denoisers", {"kind": "unet2d", **settings, "norm_num_groups": 4, **options})


def shaken(network: nn.Module) -> Any:
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network


def test_it_answers_as_diffusers_network_does_with_the_same_weights() -> None:
    guard_torchvision()
    from diffusers.models.unets.unet_2d import UNet2DModel

    theirs: Any = UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
    )
    ours = build(small(), PIXELS, ALONE)
    ours.model.load_state_dict(shaken(theirs).state_dict(), strict=True)
    x_t, timestep = torch.randn(2, 3, 8, 8), torch.tensor([0.0, 999.0])
    assert torch.equal(ours(x_t, timestep, Conditioning()), theirs(x_t, timestep).sample)


def test_attention_stands_where_it_is_configured_and_in_the_middle() -> None:
    network = build(small(attention_levels=[0], attention_head_dim=4), PIXELS, ALONE)
    kinds = [type(block).__name__ for block in (*network.model.down_blocks, *network.model.up_blocks)]
    assert kinds == ["AttnDownBlock2D", "DownBlock2D", "UpBlock2D", "AttnUpBlock2D"]
    assert len(network.model.mid_block.attentions) == 1
    heads = [module.heads for module in network.modules() if type(module).__name__ == "Attention"]
    assert heads == [2, 2, 2, 4]  # of four features each: one down, two up, the middle


def test_a_vector_is_added_to_the_time_embedding() -> None:
    network = shaken(build(small(), PIXELS, TOLD))
    x_t, timestep, vector = torch.randn(2, 3, 8, 8), torch.full((2,), 300.0), torch.randn(2, 6)
    answer = network(x_t, timestep, Conditioning(vector=vector))
    embedded = network.model.time_embedding(network.model.time_proj(timestep)) + network.vector_in(vector)
    network.model.time_embedding = Constant(embedded)
    nothing = torch.zeros_like(embedded)
    assert torch.allclose(answer, network.model(x_t, timestep, nothing).sample, atol=1e-6)


class Constant(nn.Module):
    def __init__(self, value: torch.Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self.value


def test_recomputing_blocks_changes_no_gradient() -> None:
    gradients = []
    for recompute in (False, True):
        network = shaken(build(small(gradient_checkpointing=recompute), PIXELS, TOLD))
        torch.manual_seed(1)
        told = Conditioning(vector=torch.randn(2, 6))
        network(torch.randn(2, 3, 8, 8), torch.tensor([1.0, 900.0]), told).square().mean().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
        assert network.model.is_gradient_checkpointing == recompute
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_it_runs_in_bf16_autocast() -> None:
    network = shaken(build(small(), PIXELS, TOLD))
    x_t, timestep, told = torch.randn(1, 3, 8, 8), torch.tensor([500.0]), Conditioning(torch.randn(1, 6))
    exact = network(x_t, timestep, told)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = network(x_t, timestep, told).float()
    assert not torch.equal(rounded, exact)
    assert torch.allclose(rounded, exact, atol=0.1 * exact.abs().max().item())


def test_misfits_are_refused_in_words() -> None:
    with pytest.raises(UsageError, match=r"reads a vector[\s\S]*denoiser.kind=unet2d_condition"):
        build(small(), PIXELS, ConditioningSpec(token_dim=8, num_tokens=3))
    with pytest.raises(UsageError, match="divisible by 2, not 7x8"):
        build(small(), SampleSpec((3, 7, 8)), ALONE)
    with pytest.raises(UsageError, match=r"needs samples \(C, H, W\)"):
        build(small(), SampleSpec((256,)), ALONE)
    with pytest.raises(UsageError, match="level 2 does not exist"):
        small(attention_levels=[2])
    with pytest.raises(UsageError, match="8 channels must be divisible by norm_num_groups"):
        small(norm_num_groups=16)
    with pytest.raises(UsageError, match="16 channels that attend must be divisible by attention_head_dim"):
        small(attention_levels=[], attention_head_dim=3)
    with pytest.raises(ValueError, match="got none"):
        build(small(), PIXELS, TOLD)(torch.randn(1, 3, 8, 8), torch.zeros(1), Conditioning())


def test_diffusers_is_imported_only_when_a_network_is_built() -> None:
    assert "diffusers" not in vars(unet2d)
