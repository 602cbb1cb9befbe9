"""Calls beside each other on the cores of a CPU.

An operation of a small network is too little work for several cores, which wait for each other at its end;
calls that take a core each do not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from threading import Barrier, Lock

import torch
from torch import Tensor

Call = Callable[[Tensor], Tensor]

MOST = 16  # calls at once, each with what its network holds meanwhile


def calls_at_once() -> int:
    """How many calls are made beside each other at most, with as many threads as torch has here."""
    return min(torch.get_num_threads(), MOST)


class SideBySide:
    """Makes calls of one function beside each other, where that leaves every bit as it is.

    The first of each shape is made again with all threads; if the two differ, such calls are made one after
    another. What the caller has set for its own thread, such as autocast, does not hold in others: with that,
    too, calls go one after another.
    """

    def __init__(self) -> None:
        self._same: dict[Hashable, bool] = {}

    def __call__(self, call: Call, given: Sequence[Tensor], shape: Hashable = None) -> list[Tensor]:
        """Outputs of `call`, which needs no gradients, for each of `given`, all of one `shape`."""
        most, outputs = calls_at_once(), list[Tensor]()
        if torch.is_autocast_enabled("cpu"):
            most = 1
        while left := len(given) - len(outputs):
            count = most if left >= most else 1 << (left.bit_length() - 1)  # of few sizes: each keeps threads
            outputs += self._group(call, given[len(outputs) : len(outputs) + count], shape)
        return outputs

    def _group(self, call: Call, group: Sequence[Tensor], shape: Hashable) -> list[Tensor]:
        threads = torch.get_num_threads()
        key = (threads, len(group), shape)
        if len(group) > 1 and self._same.get(key, True):
            made = [_workers(len(group), threads).submit(torch.no_grad()(call), one) for one in group]
            wait(made)  # of all, so that none goes on while an error is told
            outputs = [one.result() for one in made]
            if key not in self._same:
                self._same[key] = torch.equal(outputs[0], call(group[0]))
            if self._same[key]:
                return outputs
        return [call(one) for one in group]


_making = Lock()


def _workers(count: int, threads: int) -> ThreadPoolExecutor:
    """Kept: `count` threads whose operations share `threads` cores; those of all others stay as they are."""
    with _making:
        return _made(count, threads)


@cache
def _made(count: int, threads: int) -> ThreadPoolExecutor:
    before, begun = torch.get_num_threads(), Barrier(count + 1)

    def begin() -> None:
        torch.get_num_threads()  # the first such call of a thread would undo what was set before it
        torch.set_num_threads(threads // count)
        begun.wait()

    workers = ThreadPoolExecutor(count, "side-by-side", begin)
    try:
        for _ in range(count):
            workers.submit(int)
        begun.wait()
    except BaseException:
        begun.abort()
        workers.shutdown(wait=False)
        raise
    finally:
        torch.set_num_threads(before)
    return workers


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_made.cache_clear)  # whose threads stay with the parent
