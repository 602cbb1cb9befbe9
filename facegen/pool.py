"""Workers beside each other: processes, or threads where the work is reading."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context

from facegen.errors import UsageError


def usable_cores() -> int:
    """How many cores this process may use, as far as the system says it."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def worker_pool(workers: int, *, processes: bool) -> Iterator[Executor]:
    """A pool whose waiting work is dropped when the block is left by an error or Ctrl-C.

    Raises:
        UsageError: the processes died at the start, as they do in a script without a main guard.
    """
    if processes and workers > 1:
        # spawn: a forked child would inherit torch's and the terminal's threads in an unknown state
        pool: Executor = ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(os.getpid(),)
        )
    else:
        pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise UsageError(
            "The worker processes ended before their work was done.",
            hint="In a script of your own, put the call under `if __name__ == '__main__':`, or use workers=1."
            " Otherwise memory ran out: use fewer workers.",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, do not outlive it, and take one core, as every other worker does."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, if ever
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()


def _exit_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
