"""A network's kernels recorded once as a CUDA graph and replayed: one launch instead of some hundreds.

Drawing faces calls one network many times with the same number of rows, and on a fast card launching the
kernels of a small one takes longer than they do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from facegen.protocols import Network
from facegen.types import Conditioning

RECORDABLE = ("cuda",)
CALLS_BEFORE = 8  # recording takes about as long as four calls
MOST_RECORDINGS = 4  # each keeps memory of its own

Shapes = tuple[tuple[torch.Size, torch.dtype] | None, ...]


class RecordedNetwork:
    """`network`, recorded for each shape of its input after some calls with it.

    A recording is used only if it repeats, on other numbers than it was made with, every bit of a call.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._calls = Counter[Shapes]()
        self._recordings: dict[Shapes, _Recording | None] = {}

    def __call__(self, x_t: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        if x_t.device.type not in RECORDABLE:
            return self._network(x_t, timestep, conditioning)
        given = (x_t, timestep, *conditioning.parts)
        shapes = tuple(None if one is None else (one.shape, one.dtype) for one in given)
        self._calls[shapes] += 1
        if self._calls[shapes] == CALLS_BEFORE and len(self._recordings) < MOST_RECORDINGS:
            self._recordings[shapes] = _recording_of(self._network, given)
        recording = self._recordings.get(shapes)
        return self._network(x_t, timestep, conditioning) if recording is None else recording(given)


class _Recording:
    """What was recorded of `network`, with the places that it reads its input from."""

    def __init__(self, network: Network, given: tuple[Tensor | None, ...]) -> None:
        self._places: list[Any] = [None if one is None else torch.zeros_like(one) for one in given]
        x_t, timestep, *told = self._places
        self._replay, self._output = record(lambda: network(x_t, timestep, Conditioning(*told)))
        self._in_use = Lock()

    def __call__(self, given: tuple[Tensor | None, ...]) -> Tensor:
        with self._in_use:  # threads that draw with one generator share the places
            for place, value in zip(self._places, given, strict=True):
                if value is not None:
                    place.copy_(value)
            self._replay()
            return self._output.clone()


def _recording_of(network: Network, given: tuple[Any, ...]) -> _Recording | None:
    try:
        recording = _Recording(network, given)
    except RuntimeError:  # something in it waits for the device, which cannot be recorded
        return None
    x_t, timestep, *told = given
    expected = network(x_t, timestep, Conditioning(*told))
    return recording if torch.equal(recording(given), expected) else None


def record(call: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Record `call` as a CUDA graph; what replays it, and the tensor that its result is written to.

    Raises:
        RuntimeError: it cannot be recorded.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        call()  # libraries set themselves up in the first calls, which a graph must not hold
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")  # a failed recording is hard to get out of: fail before it
        try:
            call()
        finally:
            torch.cuda.set_sync_debug_mode(before)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = call()
    return graph.replay, output
