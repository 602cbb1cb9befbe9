import pytest
import torch
from torch import nn
from torch.nn import functional as F

from facegen.nn.attention import CrossAttention, SelfAttention


def reference(q, k, v):
    """Attention by its definition, heads in dimension 1."""
    weights = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, dim=-1)
    return weights @ v


def heads(x, num_heads):
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merged(x):
    return x.transpose(1, 2).flatten(2)


def test_self_attention_is_softmax_of_scaled_products() -> None:
    torch.manual_seed(0)
    attention = SelfAttention(12, 3, qk_norm=False)
    x = torch.randn(2, 5, 12)
    q, k, v = (heads(part, 3) for part in attention.qkv(x).chunk(3, dim=-1))
    assert torch.allclose(attention(x), attention.out(merged(reference(q, k, v))), atol=1e-6)


def test_query_key_norm_makes_attention_blind_to_the_scale_of_logits() -> None:
    torch.manual_seed(0)
    attention = SelfAttention(12, 3, qk_norm=True)
    x = torch.randn(2, 5, 12)
    before = attention(x)
    with torch.no_grad():
        attention.qkv.weight[:24] *= 7  # queries and keys
        attention.qkv.bias[:24] *= 7
    assert torch.allclose(attention(x), before, atol=1e-5)


def test_a_hidden_token_is_as_good_as_absent() -> None:
    torch.manual_seed(0)
    attention = SelfAttention(12, 3)
    x = torch.randn(2, 5, 12)
    mask = torch.tensor([[True, True, True, False, False]]).expand(2, -1)
    assert torch.allclose(attention(x, mask)[:, :3], attention(x[:, :3]), atol=1e-6)


@pytest.mark.parametrize("qk_norm", [True, False])
def test_cross_attention_to_masked_context_equals_the_shorter_context(qk_norm: bool) -> None:
    torch.manual_seed(0)
    attention = CrossAttention(12, 8, 3, qk_norm=qk_norm)
    x, context = torch.randn(2, 5, 12), torch.randn(2, 4, 8)
    mask = torch.tensor([[True, True, False, False]]).expand(2, -1)
    assert torch.allclose(attention(x, context, mask), attention(x, context[:, :2]), atol=1e-6)


def test_cross_attention_to_nothing_is_zero_with_finite_gradients() -> None:
    torch.manual_seed(0)
    attention = CrossAttention(12, 8, 3)
    x, context = torch.randn(2, 5, 12), torch.randn(2, 4, 8, requires_grad=True)
    answer = attention(x, context, torch.tensor([[False] * 4, [True] * 4]))
    assert torch.equal(answer[0], torch.zeros(5, 12))
    assert answer[1].abs().min() > 0
    answer.sum().backward()
    assert context.grad is not None
    assert torch.equal(context.grad[0], torch.zeros(4, 8))
    assert context.grad[1].isfinite().all()


def gradients(attention: nn.Module, *inputs: torch.Tensor, half: bool) -> list[torch.Tensor]:
    """Output, and what it gives every parameter, of a call on the CPU."""
    attention.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        out = attention(*inputs).float()
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return [out, *(one.grad.clone() for one in attention.parameters() if one.grad is not None)]


def test_training_in_half_precision_on_a_cpu_learns_the_same() -> None:
    torch.manual_seed(0)
    x, context = torch.randn(3, 16, 16), torch.randn(3, 6, 16)
    seen = torch.arange(16) < torch.tensor([[16], [13], [1]])
    heard = torch.arange(6) < torch.tensor([[6], [2], [0]])
    for attention, inputs in (
        (SelfAttention(16, 2), (x,)),
        (SelfAttention(16, 2), (x, seen)),
        (CrossAttention(16, 16, 2), (x, context)),
        (CrossAttention(16, 16, 2), (x, context, heard)),
    ):
        whole, half = (gradients(attention, *inputs, half=half) for half in (False, True))
        for one, other in zip(whole, half, strict=True):
            assert torch.linalg.vector_norm(other - one) < 0.05 * torch.linalg.vector_norm(one) + 1e-6


def test_torchs_kernel_is_left_only_where_it_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = list[int]()
    kernel = F.scaled_dot_product_attention

    def counted(*args: torch.Tensor, attn_mask: torch.Tensor | None = None) -> torch.Tensor:
        calls.append(1)
        return kernel(*args, attn_mask=attn_mask)

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    attention, few, many = SelfAttention(16, 2), torch.randn(1, 8, 16), torch.randn(1, 160, 16)
    gradients(attention, few, half=True)
    assert not calls
    gradients(attention, few, half=False)
    gradients(attention, many, half=True)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        attention(few)
    assert len(calls) == 3
