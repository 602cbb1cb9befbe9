"""Source bytes to square PNGs, in parallel. No torch here: worker processes import this module."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context

from facegen.errors import DataError, FacegenError, UsageError
from facegen.formats.files import sha256_of
from facegen.formats.images import crop_square, pil_to_png, read_image, resize_square

Load = Callable[[], bytes]


@dataclass(frozen=True)
class ImageJob:
    """What is done to every image; see `facegen.types.CropBox`."""

    crop: tuple[float, float, float] | None
    size: int
    min_side: int


@dataclass(frozen=True)
class PreparedImage:
    """The PNG of one record and its source's SHA-256, or the `problem` that keeps it out.

    `side` is the width of the square before it was resized, `mended` what had to be mended to read it.
    """

    png: bytes | None = None
    sha256: str = ""
    side: int = 0
    problem: str = ""
    mended: str = ""


def prepare_image(job: ImageJob, load: Load) -> PreparedImage:
    """Load, decode, crop, resize and encode; what fails is told in the `problem`."""
    try:
        data = load()
    except (OSError, FacegenError) as error:
        return PreparedImage(problem=f"unreadable: {error}")
    try:
        image, mended = read_image(data)
        square = crop_square(image, job.crop)
    except DataError as error:
        told = str(error)
        return PreparedImage(problem=told if told.startswith("not square") else f"unreadable: {told}")
    if square.width < job.min_side:
        return PreparedImage(problem=f"too small: {square.width} pixels, {job.min_side} are needed")
    png = pil_to_png(resize_square(square, job.size))
    return PreparedImage(png=png, sha256=sha256_of(data), side=square.width, mended=mended)


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
    """Leave Ctrl-C to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()


def _exit_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
