"""Calls beside each other on the cores of a CPU.

An operation of a small network is too little work for several cores, which wait for each other at its end;
calls that take a core each do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier

import torch
from torch import Tensor

Call = Callable[[Tensor], Tensor]


class SideBySide:
    """Makes calls of one kind, as many at a time as torch has threads, where that leaves every bit as it is.

    The first of them is made again with all threads; if the two differ, calls are made one after another.
    """

    def __init__(self) -> None:
        self._same: dict[int, bool] = {}  # by threads a call

    def __call__(self, call: Call, given: Sequence[Tensor]) -> list[Tensor]:
        """Outputs of `call`, which needs no gradients, for each of `given`."""
        threads, outputs = torch.get_num_threads(), list[Tensor]()
        while len(outputs) < len(given):
            group = given[len(outputs) : len(outputs) + threads]
            outputs += self._group(call, group, threads // len(group))
        return outputs

    def _group(self, call: Call, group: Sequence[Tensor], threads_each: int) -> list[Tensor]:
        if len(group) > 1 and self._same.get(threads_each, True):
            outputs = list(_workers(len(group), threads_each).map(torch.no_grad()(call), group))
            if threads_each not in self._same:
                self._same[threads_each] = torch.equal(outputs[0], call(group[0]))
            if self._same[threads_each]:
                return outputs
        return [call(each) for each in group]


@cache
def _workers(count: int, threads_each: int) -> ThreadPoolExecutor:
    """`count` threads whose operations take `threads_each` cores; those of all others stay as they are."""
    others, begun = torch.get_num_threads(), Barrier(count + 1)

    def begin() -> None:
        torch.get_num_threads()  # the first such call of a thread would undo what was set before it
        torch.set_num_threads(threads_each)
        begun.wait()

    workers = ThreadPoolExecutor(count, "side-by-side", begin)
    for _ in range(count):
        workers.submit(int)
    begun.wait()
    torch.set_num_threads(others)
    return workers
