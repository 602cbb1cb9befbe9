"""What attention looks at, kept while a `record_attention` block is open.

    with record_attention(denoiser) as recording:
        denoiser(x_t, timestep, conditioning)
    for seen in recording.maps:
        print(seen.layer, seen.kind, seen.weights.shape)

Only then, and only in the watched layers, `scaled_dot_product_attention` is taken apart into scores, softmax
and weighted values. No layer is changed: forward hooks say which one runs, and a `TorchFunctionMode` meets
its call, so that facegen's layers and diffusers' are recorded alike. Afterwards both are gone.

Letters: B rows of a call, R rows kept, N heads, Q queries, K keys, d features a head.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from jaxtyping import Float, Int64, Real, Shaped
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from facegen.shapes import States
from facegen.types import Conditioning

KERNEL = F.scaled_dot_product_attention
Kind = Literal["self", "cross"]
Rows = Int64[Tensor, " R"]
ChooseRows = Callable[..., Rows]
"""From the arguments of a call to the numbers of the rows to keep; none is allowed."""


@dataclass(frozen=True)
class AttentionMap:
    """Where each query of one layer looked in one call: `weights`, on the CPU, sum to 1 over K.

    `layer` is the dotted name below the recorded module and `call` counts that module's calls from 0. `rows`
    are the rows of the call that were kept, and `timestep` their timesteps, None where the call had none.
    With averaged heads N is 1. A row that `CrossAttention` lets see no token at all has weights too,
    which count for nothing.
    """

    layer: str
    kind: Kind
    call: int
    rows: Rows
    timestep: Real[Tensor, " R"] | None
    weights: Float[Tensor, "R N Q K"]


@dataclass
class AttentionRecording:
    """Maps in the order in which they were computed."""

    maps: list[AttentionMap] = field(default_factory=list[AttentionMap])


def attention_layers(module: nn.Module) -> dict[str, Kind]:
    """Dotted names of the layers that can be recorded, and their kinds.

    A layer that attends says so by a boolean `is_cross_attention`, as diffusers' `Attention` does.
    """
    layers = cast("Iterator[tuple[str, nn.Module]]", module.named_modules())
    found = ((name, getattr(layer, "is_cross_attention", None)) for name, layer in layers)
    return {name: "cross" if crosses else "self" for name, crosses in found if isinstance(crosses, bool)}


@contextmanager
def record_attention(
    module: nn.Module,
    *,
    layers: Collection[str] | None = None,
    rows: ChooseRows | None = None,
    average_heads: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Generator[AttentionRecording, None, None]:
    """Keep the attention maps of every call of `module` in this thread until the block ends.

    What the module computes stays the same to 1e-5 in float32. `layers` (all), `rows` (all; called with the
    arguments of `module`), `average_heads` and a shorter `dtype` save memory. Blocks may be nested; each
    keeps its own maps.

    Raises:
        ValueError: `layers` names one that does not attend, or nothing in `module` does.
        RuntimeError: a layer attended in another way than by `scaled_dot_product_attention`.
    """
    known = attention_layers(module)
    unknown = [name for name in layers or () if name not in known]
    if unknown or not known:
        raise ValueError(f"no attention in {unknown or type(module).__name__}; it is in {list(known)}")
    recorder = _Recorder(rows, average_heads, dtype)
    with ExitStack() as stack:
        stack.callback(_here.open.remove, recorder)
        _here.open.append(recorder)
        for handle in recorder.watch(module, {name: known[name] for name in layers or known}):
            stack.callback(handle.remove)
        stack.enter_context(recorder)
        yield recorder.recording


def row_told(conditioning: Conditioning) -> ChooseRows:
    """Chooses the first row of a denoiser's call that is told `conditioning` (1, ...).

    A guided call has conditional and null rows, and may be filled up with copies: this finds the one
    conditional row of a single sample, or none in a pass of null rows.
    """
    wanted = _parts(conditioning)

    def choose(x_t: States, timestep: Tensor, told: Conditioning) -> Rows:
        same = torch.ones(len(x_t), dtype=torch.bool, device=x_t.device)
        for part, value in zip(_parts(told), wanted, strict=True):
            same &= (part == value).flatten(1).all(1)
        return same.nonzero()[:1, 0]

    return choose


def _parts(conditioning: Conditioning) -> list[Tensor]:
    parts = conditioning.parts
    return [part for part in parts if part is not None]


def explicit_attention(
    query: Float[Tensor, "B N Q d"],
    key: Float[Tensor, "B N K d"],
    value: Float[Tensor, "B N K e"],
    attn_mask: Shaped[Tensor, "... K"] | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> tuple[Float[Tensor, "B N Q e"], Float[Tensor, "B N Q K"]]:
    """`scaled_dot_product_attention` and its weights softmax(q k^T / sqrt(d)).

    Vaswani et al. 2017 (arXiv:1706.03762), equation 1. Arguments are PyTorch's; the softmax is in float32.

    Raises:
        ValueError: dropout or a causal mask, which no denoiser has.
    """
    if dropout_p or is_causal:
        raise ValueError("attention with dropout or a causal mask is not recorded")
    scores = (query @ key.transpose(-2, -1)).float() * (query.shape[-1] ** -0.5 if scale is None else scale)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    weights = scores.softmax(-1)
    return weights.to(value.dtype) @ value, weights


class _Here(threading.local):
    """The recorders open in this thread, outermost first: another thread's calls are not theirs."""

    def __init__(self) -> None:
        self.open: list[_Recorder] = []


_here = _Here()


@dataclass
class _Call:
    """The call of the recorded module that is running."""

    number: int
    rows: Rows
    timestep: Real[Tensor, " R"] | None


class _Recorder(TorchFunctionMode):
    def __init__(self, rows: ChooseRows | None, average_heads: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self.recording = AttentionRecording()
        self._choose, self._average_heads, self._dtype = rows, average_heads, dtype
        self._calls = 0
        self._call: _Call | None = None
        self._layer: tuple[str, Kind] | None = None  # the watched layer that is running
        self._seen = False  # whether that layer has attended

    def watch(self, module: nn.Module, layers: dict[str, Kind]) -> Iterator[Any]:
        """Handles of the hooks that say what is running."""
        yield module.register_forward_pre_hook(self._begin_call, with_kwargs=True)
        yield module.register_forward_hook(self._end_call, always_call=True)
        for name, kind in layers.items():
            layer = module.get_submodule(name)
            yield layer.register_forward_pre_hook(self._begin_layer(name, kind))
            yield layer.register_forward_hook(self._end_layer, always_call=True)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not KERNEL or self._layer is None:
            return func(*args, **(kwargs or {}))
        attended, weights = explicit_attention(*args, **(kwargs or {}))
        for recorder in _here.open:  # modes outside this one do not meet the call any more
            recorder._keep(weights.detach())
        return attended

    def _keep(self, weights: Float[Tensor, "B N Q K"]) -> None:
        if self._layer is None or self._call is None:
            return
        self._seen = True
        kept = weights[self._call.rows]
        if self._average_heads:
            kept = kept.mean(1, keepdim=True)
        call = self._call
        self.recording.maps.append(
            AttentionMap(
                *self._layer, call.number, call.rows.cpu(), call.timestep, kept.to("cpu", self._dtype)
            )
        )

    def _begin_call(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if self not in _here.open:
            return
        first: Tensor = args[0] if args else next(iter(kwargs.values()))
        timestep = args[1] if len(args) > 1 else kwargs.get("timestep")
        everything = torch.arange(len(first), device=first.device)
        rows = everything if self._choose is None else self._choose(*args, **kwargs)
        if isinstance(timestep, Tensor) and timestep.ndim < 2:
            timestep = timestep.detach().expand(len(first))[rows].cpu()
        else:
            timestep = None
        self._call = _Call(self._calls, rows, timestep)
        self._calls += 1

    def _end_call(self, *_: Any) -> None:
        if self in _here.open:
            self._call = None

    def _begin_layer(self, name: str, kind: Kind) -> Callable[..., None]:
        def begin(*_: Any) -> None:
            if self in _here.open and self._call is not None and len(self._call.rows):
                self._layer = (name, kind)
                self._seen = False

        return begin

    def _end_layer(self, layer: nn.Module, args: Any, output: Any) -> None:
        if self not in _here.open or self._layer is None:
            return
        (name, _), self._layer = self._layer, None
        if output is not None and not self._seen:  # None: it failed
            raise RuntimeError(f"'{name}' attends by other means than scaled_dot_product_attention")
