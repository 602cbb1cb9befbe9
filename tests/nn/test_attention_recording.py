"""Recorded attention: the same answers, the maps of an independent softmax, and nothing left behind."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from facegen.config.kinds import kind_config, load_kind
from facegen.nn.attention import CrossAttention, SelfAttention
from facegen.nn.attention_recording import (
    attention_layers,
    explicit_attention,
    record_attention,
    row_told,
)
from facegen.types import Conditioning, ConditioningSpec, SampleSpec

SAMPLE = SampleSpec((3, 16, 16))
TOKEN_DIM, NUM_TOKENS = 6, 3
DIT = {"kind": "dit", "width": 32, "depth": 2, "num_heads": 2}
UNET = {"kind": "unet", "base_channels": 16, "channel_multipliers": [1, 2], "num_res_blocks": 1}
DIFFUSERS = {"kind": "unet2d_condition", "block_out_channels": [8, 16], "layers_per_block": 1,
             "cross_attention_levels": [0, 1], "num_heads": 2, "norm_num_groups": 4}  # fmt: skip
UNET2D = {"kind": "unet2d", "block_out_channels": [8, 16], "layers_per_block": 1,
          "attention_levels": [1], "norm_num_groups": 4}  # fmt: skip
DENOISERS = {
    "dit": (DIT, "vector", 2),
    "dit-cross": ({**DIT, "conditioning": "cross_attention"}, "tokens", 4),
    "dit-in-context": ({**DIT, "conditioning": "in_context", "qk_norm": False}, "tokens", 2),
    "unet": ({**UNET, "self_attention_levels": [1], "cross_attention_levels": [0, 1]}, "tokens", 13),
    "attribute_unet": ({"kind": "attribute_unet", "base_channels": 8, "num_heads": 2}, "tokens", 3),
    "unet2d": (UNET2D, "vector", 4),
    "unet2d_condition": (DIFFUSERS, "tokens", 14),
    "unet2d_condition-alone": (DIFFUSERS, "none", 6),
}


def network(name: str) -> nn.Module:
    settings, needs, _ = DENOISERS[name]
    config = kind_config("denoisers", settings)
    spec = ConditioningSpec(
        vector_dim=TOKEN_DIM if needs == "vector" else None,
        token_dim=TOKEN_DIM if needs == "tokens" else None,
        num_tokens=NUM_TOKENS if needs == "tokens" else None,
    )
    built = load_kind("denoisers", config.kind).build(config, SAMPLE, spec).eval().requires_grad_(False)
    torch.manual_seed(0)
    for parameter in built.parameters():
        nn.init.normal_(parameter, std=0.1)
    return built


def call(name: str, seed: int = 1) -> tuple[Tensor, Tensor, Conditioning]:
    torch.manual_seed(seed)
    needs = DENOISERS[name][1]
    return (
        torch.randn(2, *SAMPLE.shape),
        torch.tensor([900.0, 10.5]),
        Conditioning(
            vector=torch.randn(2, TOKEN_DIM) if needs == "vector" else None,
            tokens=torch.randn(2, NUM_TOKENS, TOKEN_DIM) if needs == "tokens" else None,
            token_mask=torch.tensor([[True] * 3, [True, True, False]]) if needs == "tokens" else None,
        ),
    )


class Spy(TorchFunctionMode):
    """Queries, keys and masks that reach the fused kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            given = inspect_arguments(*args, **kwargs)
            self.calls.append(given)
        return func(*args, **kwargs)


def inspect_arguments(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **rest: Any
) -> tuple[Tensor, Tensor, Tensor | None]:
    return query, key, attn_mask


def hooks_of(module: nn.Module) -> int:
    return sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in module.modules())


def kernel_calls(module: nn.Module, arguments: tuple[Any, ...]) -> int:
    with Spy() as spy:
        module(*arguments)
    return len(spy.calls)


@pytest.mark.parametrize("name", DENOISERS)
def test_a_recorded_denoiser_answers_the_same_and_its_maps_are_distributions(name: str) -> None:
    denoiser, arguments = network(name), call(name)
    plain = denoiser(*arguments)
    with record_attention(denoiser) as recording:
        recorded = denoiser(*arguments)
    assert plain.abs().max() > 0.05
    torch.testing.assert_close(recorded, plain, rtol=0, atol=1e-5)
    assert torch.equal(denoiser(*arguments), plain)
    assert len(recording.maps) == DENOISERS[name][2] == len(attention_layers(denoiser))
    for seen in recording.maps:
        assert denoiser.get_submodule(seen.layer) is not None
        assert seen.weights.ndim == 4
        assert len(seen.weights) == 2
        assert seen.weights.min() >= 0
        torch.testing.assert_close(seen.weights.sum(-1), torch.ones(seen.weights.shape[:3]))
        if seen.kind == "cross":
            assert seen.weights.shape[-1] == NUM_TOKENS
            assert (seen.weights[1, ..., 2] == 0).all()  # hidden by the mask
            assert (seen.weights[0, ..., 2] > 0).all()


@pytest.mark.parametrize("name", DENOISERS)
def test_maps_are_the_softmax_of_the_queries_and_keys_that_the_kernel_gets(name: str) -> None:
    denoiser, arguments = network(name), call(name)
    with Spy() as spy:
        denoiser(*arguments)
    with record_attention(denoiser) as recording:
        denoiser(*arguments)
    assert len(spy.calls) == len(recording.maps)
    for (query, key, mask), seen in zip(spy.calls, recording.maps, strict=True):
        scores = torch.einsum("bnqd,bnkd->bnqk", query, key) / query.shape[-1] ** 0.5
        if mask is not None:
            hidden = ~mask if mask.dtype == torch.bool else mask < -1000
            scores = scores.masked_fill(hidden.expand_as(scores), -1e9)
        exact = scores.exp() / scores.exp().sum(-1, keepdim=True)
        torch.testing.assert_close(seen.weights, exact, rtol=1e-5, atol=1e-6)


def test_a_layer_that_never_saw_the_kernel_has_the_map_of_its_own_projections() -> None:
    torch.manual_seed(0)
    attention = CrossAttention(12, 8, 3, qk_norm=False)
    x, context = torch.randn(2, 5, 12), torch.randn(2, 4, 8)
    with torch.no_grad(), record_attention(attention) as recording:
        attention(x, context)
    query, key = attention.q(x), attention.kv(context)[..., :12]
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        exact = torch.softmax(query[..., part] @ key[..., part].transpose(1, 2) / 2, dim=-1)
        torch.testing.assert_close(recording.maps[0].weights[:, head], exact)
    assert (recording.maps[0].layer, recording.maps[0].kind, recording.maps[0].timestep) == (
        "",
        "cross",
        None,
    )


def test_kinds_are_told_by_the_layers_not_by_shapes() -> None:
    kinds = attention_layers(network("unet2d_condition"))
    assert {name.rsplit(".", 1)[1]: kind for name, kind in kinds.items()} == {
        "attn1": "self",
        "attn2": "cross",
    }
    kinds = attention_layers(network("unet"))
    assert {name.rsplit(".", 1)[1]: kind for name, kind in kinds.items()} == {
        "attention": "self",
        "cross_attention": "cross",
    }


@pytest.mark.parametrize("name", ["dit-cross", "unet2d_condition"])
def test_the_kernel_runs_again_and_nothing_is_kept_after_the_block(name: str) -> None:
    denoiser, arguments = network(name), call(name)
    hooks, number = hooks_of(denoiser), len(attention_layers(denoiser))
    with Spy() as spy, record_attention(denoiser) as recording:
        denoiser(*arguments)
    assert spy.calls == []
    kept = len(recording.maps)
    assert hooks_of(denoiser) == hooks
    assert kernel_calls(denoiser, arguments) == number
    assert len(recording.maps) == kept == number


@pytest.mark.parametrize("name", ["dit-cross", "unet2d_condition"])
def test_the_kernel_runs_again_after_an_exception(name: str) -> None:
    denoiser, arguments = network(name), call(name)
    hooks = hooks_of(denoiser)
    with pytest.raises(KeyError), record_attention(denoiser):
        raise KeyError
    assert hooks_of(denoiser) == hooks
    assert kernel_calls(denoiser, arguments) == len(attention_layers(denoiser))


def test_a_call_that_fails_inside_a_layer_does_not_spoil_the_next() -> None:
    denoiser, arguments = network("dit"), call("dit")
    layer = denoiser.get_submodule("blocks.0.attention.out")
    with record_attention(denoiser) as recording:
        broken = layer.register_forward_pre_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            denoiser(*arguments)
        broken.remove()
        query = torch.randn(1, 1, 2, 4)
        F.scaled_dot_product_attention(query, query, query)  # of nobody that is watched
        assert len(recording.maps) == 1
        denoiser(*arguments)
    assert [(seen.layer, seen.call) for seen in recording.maps[1:]] == [
        ("blocks.0.attention", 1),
        ("blocks.1.attention", 1),
    ]


def test_each_map_knows_its_call_and_its_timesteps() -> None:
    denoiser = network("dit")
    with record_attention(denoiser, layers=["blocks.1.attention"]) as recording:
        for seed in (1, 2):
            x_t, timestep, told = call("dit", seed)
            denoiser(x_t, timestep - seed, told)
    assert [seen.call for seen in recording.maps] == [0, 1]
    assert {seen.layer for seen in recording.maps} == {"blocks.1.attention"}
    timesteps = [seen.timestep.tolist() for seen in recording.maps if seen.timestep is not None]
    assert timesteps == [[899, 9.5], [898, 8.5]]
    assert not torch.equal(recording.maps[0].weights, recording.maps[1].weights)


def test_nested_blocks_keep_maps_of_their_own() -> None:
    denoiser, arguments = network("dit"), call("dit")
    with record_attention(denoiser) as outer:
        with record_attention(denoiser, layers=["blocks.1.attention"], average_heads=True) as inner:
            denoiser(*arguments)
        denoiser(*arguments)
    assert [(seen.layer, seen.call) for seen in outer.maps] == [
        (f"blocks.{block}.attention", number) for number in (0, 1) for block in (0, 1)
    ]
    assert [(seen.layer, seen.call) for seen in inner.maps] == [("blocks.1.attention", 0)]
    assert inner.maps[0].weights.shape == (2, 1, 64, 64)
    assert torch.equal(inner.maps[0].weights, outer.maps[1].weights.mean(1, keepdim=True))


def test_another_thread_is_not_recorded_and_keeps_the_kernel() -> None:
    denoiser, arguments = network("dit"), call("dit")
    numbers = []
    with record_attention(denoiser) as recording:
        thread = threading.Thread(target=lambda: numbers.append(kernel_calls(denoiser, arguments)))
        thread.start()
        thread.join()
    assert numbers == [2]
    assert recording.maps == []


def test_maps_may_be_kept_short() -> None:
    denoiser, arguments = network("dit"), call("dit")
    with record_attention(denoiser) as full, record_attention(denoiser, dtype=torch.float16) as short:
        denoiser(*arguments)
    assert short.maps[0].weights.dtype == torch.float16
    torch.testing.assert_close(short.maps[0].weights.float(), full.maps[0].weights, rtol=1e-3, atol=1e-6)


def test_the_conditional_row_is_found_wherever_it_stands() -> None:
    denoiser = network("dit-cross")
    x_t, timestep, told = call("dit-cross")
    assert told.tokens is not None
    assert told.token_mask is not None
    second = Conditioning(tokens=told.tokens[1:], token_mask=told.token_mask[1:])
    with record_attention(denoiser, rows=row_told(second)) as recording, record_attention(denoiser) as full:
        denoiser(x_t, timestep, told)
        denoiser(x_t[:1], timestep[:1], Conditioning(tokens=told.tokens[:1], token_mask=told.token_mask[:1]))
    assert [seen.rows.tolist() for seen in recording.maps] == [[1]] * 4
    assert {seen.call for seen in full.maps} == {0, 1}
    for seen, both in zip(recording.maps, full.maps[:4], strict=True):
        assert seen.timestep is not None
        assert seen.timestep.tolist() == [10.5]
        assert torch.equal(seen.weights, both.weights[1:])


def test_half_precision_is_recorded_in_float32() -> None:
    denoiser, arguments = network("dit"), call("dit")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain = denoiser(*arguments)
        with record_attention(denoiser) as recording:
            recorded = denoiser(*arguments)
    assert recorded.dtype == plain.dtype == torch.bfloat16
    torch.testing.assert_close(recorded, plain, rtol=0.05, atol=0.05)
    assert recording.maps[0].weights.dtype == torch.float32
    torch.testing.assert_close(recording.maps[0].weights.sum(-1), torch.ones(2, 2, 64))


def test_what_cannot_be_recorded_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no attention in \['blocks.7.attention'\].*'blocks.0.attention'"):
        record_attention(network("dit"), layers=["blocks.7.attention"]).__enter__()
    with pytest.raises(ValueError, match="no attention in Linear"):
        record_attention(nn.Linear(2, 2)).__enter__()
    query = torch.randn(1, 1, 2, 4)
    with pytest.raises(ValueError, match="dropout"):
        explicit_attention(query, query, query, dropout_p=0.1)

    class ByHand(SelfAttention):
        def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
            return x

    by_hand = nn.Sequential(ByHand(8, 2))
    with pytest.raises(RuntimeError, match="'0' attends by other means"), record_attention(by_hand):
        by_hand(torch.randn(1, 2, 8))
