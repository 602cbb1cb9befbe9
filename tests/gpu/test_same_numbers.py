"""A GPU's kernels and numbers: which attention runs, and what is the same as on the CPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from support.devices import CUDA, DEVICES, measured
from support.generator_parts import compact_autoencoder, tiny_generator
from torch.nn.attention import SDPBackend, sdpa_kernel

from facegen.draws import Draws
from facegen.models.fixed_rows import encoded
from facegen.models.generator import FaceGenerator
from facegen.nn.attention import CrossAttention, SelfAttention

FAST = [SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION]  # one of them, with no mask
# Convolutions multiply in TF32 on a GPU, whose 10 bits are off by 5e-4 at most, in each of some ten layers.
ENCODED = 1e-2  # of the latents' standard deviation
KEYS = [
    8800707266582111382,
    -6296432113352715887,
    -2946002385206232481,
]  # of the first samples of seed 7, as ever


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("heads", [2, 4])  # of 64 and 32 features
def test_unmasked_attention_in_bf16_takes_a_fast_kernel(device: str, heads: int) -> None:
    attention = SelfAttention(128, heads).to(device)
    x = torch.randn(2, 256, 128, device=device, requires_grad=True)
    with sdpa_kernel(FAST), torch.autocast(device, torch.bfloat16):  # raises where neither can
        attention(x).float().square().mean().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("device", [CUDA])
@pytest.mark.parametrize("tokens", [13, 40, 77])  # as attributes and captions have
def test_masked_attention_in_bf16_takes_the_memory_efficient_kernel(device: str, tokens: int) -> None:
    attention = CrossAttention(128, 64, 2).to(device)
    x = torch.randn(2, 256, 128, device=device, requires_grad=True)
    context = torch.randn(2, tokens, 64, device=device)
    mask = torch.arange(tokens, device=device) < torch.tensor([[tokens // 2], [0]], device=device)
    with sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION]), torch.autocast(device, torch.bfloat16):
        answer = attention(x, context, mask)
        answer.float().square().mean().backward()
    assert torch.equal(answer[1], torch.zeros_like(answer[1]))
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("device", [CUDA])
def test_attention_in_fp32_takes_the_memory_efficient_kernel(device: str) -> None:
    attention = SelfAttention(128, 2).to(device)
    with sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION]):
        assert attention(torch.randn(2, 256, 128, device=device)).isfinite().all()


@pytest.mark.parametrize("device", DEVICES)
def test_samples_draw_the_same_numbers_on_every_device(device: str) -> None:
    here, there = Draws(7, torch.arange(4096)), Draws(7, torch.arange(4096), device)
    keys = there.keys().cpu()
    assert torch.equal(here.keys(), keys)
    assert keys[:3].tolist() == KEYS
    assert torch.equal(here.uniform(64), there.uniform(64).cpu())
    ours, theirs = here.normal(65), there.normal(65).cpu()
    measured(f"{device}, normal numbers against the CPU's", f"{(ours - theirs).abs().max():.1e}")
    torch.testing.assert_close(theirs, ours, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
def test_a_seed_gives_the_same_picture_alone_and_in_a_batch(device: str) -> None:
    generator = on_device(tiny_generator(), device)
    inputs = generator.inputs_for(generator.read("a smiling woman"), 7)
    settings = generator.sampling
    together = generator.generate(inputs, range(7), settings)
    alone = generator.generate(inputs[:1], [4], settings)
    pairs = generator.generate(inputs, range(7), settings, batch_size=2)
    assert torch.equal(together[4:5], alone)
    assert torch.equal(together, pairs)
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("device", DEVICES)
def test_images_are_encoded_alike_on_every_device(device: str) -> None:
    images = 2 * torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(0)) - 1
    with torch.no_grad():
        here = compact_autoencoder().encode(images).mean
    there = encoded(compact_autoencoder().to(device), images, torch.device(device)).cpu()
    apart = ((there - here).abs().max() / here.std()).item()
    measured(f"{device}, latents against the CPU's", f"{apart:.1e} of their standard deviation")
    assert apart < ENCODED


def on_device(generator: FaceGenerator, device: str) -> FaceGenerator:
    autoencoder: Any = generator.autoencoder
    return replace(
        generator,
        module=generator.module.to(device),
        autoencoder=autoencoder.to(device),
        device=torch.device(device),
    )
