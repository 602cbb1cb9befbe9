"""The model in a process of its own: whatever it computes, the page is served.

In one process a computation and the server share Python's lock and, on a computer with one free core, its
time; then neither a preview nor a stop gets through. Two pipes join the processes: one for drawings, one for
words that are read while they are typed.
"""

from __future__ import annotations

import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from facegen.errors import FacegenError
from facegen.formats.checkpoint import Weights
from facegen.models.generator import FaceGenerator
from facegen.models.loading import load
from facegen.studio.drawing import Drawn, Easel, Preview
from facegen.studio.state import Controls, Wish
from facegen.vocabulary.explanation import Explanation

LISTEN_SECONDS = 0.05  # how soon a stop is noticed while the model is in the middle of a step
OUR_FAULT = "Something went wrong in facegen itself.\nThe terminal that runs the studio says what."
ENDED = "The process that draws has ended, perhaps for want of memory. Close the studio and start it again."


@dataclass(frozen=True)
class About:
    """What the page tells of the model."""

    controls: Controls
    image_size: int  # height and width of its pictures in pixels
    step: int | None
    device: str
    model_sha256: str | None  # of its weights


class ModelProcess:
    """Draws wishes and reads words with the model of a run, one drawing at a time. Use it as a context."""

    def __init__(self, run: Path, device: str = "auto", weights: Weights = "ema") -> None:
        """Start the process and wait until the model is loaded.

        Raises:
            MissingModelError, UsageError, StorageError, DataError: as `load`.
        """
        context = get_context("spawn")  # threads of torch and CUDA do not survive a fork
        self._drawings, drawings = context.Pipe()
        self._words, words = context.Pipe()
        self._reading, self._number = Lock(), 0
        self._process = context.Process(
            target=_serve, args=(run, device, weights, drawings, words), daemon=True
        )
        self._process.start()
        drawings.close()
        words.close()
        self.about: About = _answer(self._drawings)

    def __enter__(self) -> ModelProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def draw(self, wish: Wish, stopped: Callable[[], bool] = lambda: False) -> Iterator[Preview | Drawn]:
        """Yield the newest previews while sampling runs, then `Drawn`; nothing more once `stopped` says yes.

        Raises:
            UsageError: a wish this model cannot be asked.
            DataError: a photo that cannot be read.
            FacegenError: the process has failed or ended.
        """
        self._number += 1
        drawn = False
        _send(self._drawings, (self._number, wish))
        try:
            while not drawn and not stopped():
                if not self._drawings.poll(LISTEN_SECONDS):
                    continue
                number, told = _answer(self._drawings)
                if number != self._number or (isinstance(told, Preview) and self._drawings.poll()):
                    continue  # of a drawing that was stopped, or older than what waits behind it
                if isinstance(told, Exception):
                    drawn = True
                    raise told
                drawn = isinstance(told, Drawn)
                yield told
        finally:
            if not drawn:
                _send(self._drawings, None)

    def read(self, prompt: str) -> Explanation:
        """What the model makes of the words, refused or not, also while it draws."""
        with self._reading:
            _send(self._words, prompt)
            return _answer(self._words)


def _send(pipe: Connection, value: Any) -> None:
    """Pickled here, as the pipe's own pickler would put tensors into shared memory."""
    with suppress(BrokenPipeError):  # whoever listens next is told
        pipe.send_bytes(pickle.dumps(value))


def _answer(pipe: Connection) -> Any:
    try:
        answer = pickle.loads(pipe.recv_bytes())
    except (EOFError, ConnectionError) as error:
        raise FacegenError(ENDED) from error
    if isinstance(answer, Exception):
        raise answer
    return answer


def _serve(run: Path, device: str, weights: Weights, drawings: Connection, words: Connection) -> None:
    """What the process does until its pipes are closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it too, and the studio ends it
    try:
        generator = load(run, device, weights)
    except FacegenError as error:
        _send(drawings, error)
        return
    easel = Easel(generator, weights)
    size, step, device = generator.image_size, generator.step, str(generator.device)
    _send(drawings, About(easel.controls, size, step, device, generator.weights_sha256))
    Thread(target=_read, args=(generator, words), daemon=True).start()
    with suppress(EOFError):
        while True:
            asked = pickle.loads(drawings.recv_bytes())
            if asked is not None:  # None: a stop that came after the end
                number, wish = asked
                _draw(easel, number, wish, drawings)


def _read(generator: FaceGenerator, words: Connection) -> None:
    with suppress(EOFError):
        while True:
            _send(words, generator.explain(pickle.loads(words.recv_bytes())))


def _draw(easel: Easel, number: int, wish: Wish, drawings: Connection) -> None:
    try:
        for told in easel.draw(wish, stopped=drawings.poll):  # all that can come is a stop, or the end
            _send(drawings, (number, _compact(told)))
    except FacegenError as error:
        _send(drawings, (number, error))
    except Exception:
        traceback.print_exc(file=sys.stderr)
        _send(drawings, (number, FacegenError(OUR_FAULT)))


def _compact(told: Preview | Drawn) -> Preview | Drawn:
    """Pictures apart from the batch they are rows of, which each would take along."""
    if isinstance(told, Drawn):
        return told
    return replace(told, images=tuple(None if image is None else image.clone() for image in told.images))
