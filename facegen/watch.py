"""Who of several processes is gone or hangs: each tells the others now and then where it is.

A collective waits for all, and says nothing of whom. Heartbeats in the launcher's key-value store do: a
process that is not heard of was killed, one that is heard of and stays behind hangs, and both are named with
their step.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from facegen.errors import LostProcessError
from facegen.processes import World, here

BEAT_SECONDS = 1.0
QUIET_SECONDS = 20.0  # without a heartbeat a process counts as lost
HANG_SECONDS = 600.0  # without progress anywhere; FACEGEN_HANG_SECONDS says otherwise
NAMING_SECONDS = 5.0  # for finding out who is gone once a collective has failed
GOING_ON = "The last checkpoint stands: the same command with --resume goes on from it."


@dataclass
class _Seen:
    """What was heard of a process, and when by this one's clock."""

    beat: int = -1
    place: dict[str, Any] = field(default_factory=dict)
    heard: float = field(default_factory=time.monotonic)
    moved: float = field(default_factory=time.monotonic)


class Watch:
    """Context in which this process is watched by the others and watches them; `at` says where it is.

    Where a process is lost or hangs, the others end within `QUIET_SECONDS` or `HANG_SECONDS` and name it,
    even out of a collective that never returns.
    """

    def __init__(self, world: World, hang_seconds: float | None = None) -> None:
        self._world = world
        self._place = {"who": here(), "moves": 0, "step": 0, "doing": "starting"}
        self._seen = {rank: _Seen() for rank in range(world.size)}
        self._hang_seconds = hang_seconds or float(os.environ.get("FACEGEN_HANG_SECONDS", HANG_SECONDS))
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        if self._world.is_many:
            self._store = _store()
            self._beat(0)
            self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, *_: Any) -> None:
        if self._thread is None:
            return
        self._stopped.set()
        self._thread.join()
        self._place["left"] = "" if error is None else str(error) or repr(error)
        with suppress(RuntimeError):  # the store went with process 0, which failed as well
            self._beat(1 << 40)
            if self._world.is_first:
                self._stay()

    def _stay(self) -> None:
        """Wait a little for the others to leave too: with this process the store may go."""
        deadline = time.monotonic() + NAMING_SECONDS
        others = [seen for rank, seen in self._seen.items() if rank != self._world.rank]
        while time.monotonic() < deadline and not all("left" in seen.place for seen in others):
            time.sleep(0.02)
            self._look()

    def at(self, step: int, doing: str) -> None:
        """This process is now `doing` something of step `step`."""
        self._place = {**self._place, "moves": self._place["moves"] + 1, "step": step, "doing": doing}

    def who_is_lost(self) -> LostProcessError | None:
        """Which other processes failed or are gone, asked where a collective has failed; None if none."""
        if self._thread is None:
            return None
        deadline = time.monotonic() + NAMING_SECONDS
        while time.monotonic() < deadline:
            time.sleep(BEAT_SECONDS)
            failed = [rank for rank, seen in self._seen.items() if seen.place.get("left")]
            if failed:
                return self._failure(failed)
        now = time.monotonic()
        quiet = [rank for rank, seen in self._seen.items() if now - seen.heard > NAMING_SECONDS - 1]
        return self._loss(quiet) if quiet else None

    def _run(self) -> None:
        beat = 0
        while not self._stopped.wait(BEAT_SECONDS):
            beat += 1
            try:
                self._beat(beat)
                self._look()
            except RuntimeError as error:  # the store is gone, and with it the process that held it
                self._end(LostProcessError(f"The launcher, or process 0, is gone: {error}", hint=GOING_ON))
            if failure := self._judge():
                self._end(failure)

    def _beat(self, beat: int) -> None:
        self._store.set(f"facegen/{self._world.rank}", json.dumps({"beat": beat, **self._place}))

    def _look(self) -> None:
        for rank, seen in self._seen.items():
            key = f"facegen/{rank}"
            if rank == self._world.rank or not self._store.check([key]):
                continue
            told, now = json.loads(self._store.get(key)), time.monotonic()
            if told["beat"] != seen.beat:
                seen.beat, seen.heard = told["beat"], now
            if told["moves"] != seen.place.get("moves"):
                seen.moved = now
            seen.place = told
        mine = self._seen[self._world.rank]
        if mine.place.get("moves") != self._place["moves"]:
            mine.moved = time.monotonic()
        mine.place, mine.heard = self._place, time.monotonic()

    def _judge(self) -> LostProcessError | None:
        """What is wrong, if anything is."""
        now = time.monotonic()
        there = {rank: seen for rank, seen in self._seen.items() if "left" not in seen.place}
        quiet = [rank for rank, seen in there.items() if seen.place and now - seen.heard > QUIET_SECONDS]
        if quiet:
            return self._loss(quiet)
        if any(now - seen.moved < self._hang_seconds for seen in there.values()):
            return None
        fewest = min(seen.place.get("moves", 0) for seen in there.values())
        return self._hang([rank for rank, seen in there.items() if seen.place.get("moves", 0) == fewest])

    def _loss(self, ranks: list[int]) -> LostProcessError:
        return LostProcessError(
            f"{self._names(ranks)} was lost: it was killed, or its machine is gone.", hint=GOING_ON
        )

    def _hang(self, ranks: list[int]) -> LostProcessError:
        return LostProcessError(
            f"No process has moved for {self._hang_seconds:.0f} seconds; the one the others wait for: "
            f"{self._names(ranks)}.",
            hint=f"{GOING_ON}\nFACEGEN_HANG_SECONDS says how long to wait.",
        )

    def _failure(self, ranks: list[int]) -> LostProcessError:
        told = self._seen[ranks[0]].place["left"].splitlines()[0]
        return LostProcessError(f"{self._names(ranks)} failed: {told}", hint=GOING_ON)

    def _names(self, ranks: list[int]) -> str:
        return "; ".join(self._name(rank) for rank in ranks)

    def _name(self, rank: int) -> str:
        place = self._seen[rank].place
        where = f"{place['who']}, last seen {_told(place)}" if place else "never seen"
        return f"process {rank} of {self._world.size} ({where})"

    def _end(self, error: LostProcessError) -> None:
        """Stop this process, whatever it waits for: a collective cannot be interrupted otherwise."""
        print(f"Error: {error}", file=sys.stderr, flush=True)
        os._exit(error.exit_code)


@contextmanager
def watched(world: World, doing: str) -> Generator[None]:
    """Context in which the processes watch one another, and a lost one is named; none counts as hanging."""
    with Watch(world, math.inf) as watch:
        watch.at(0, doing)
        try:
            yield
        except LostProcessError as error:
            raise (watch.who_is_lost() or error) from error


def _told(place: dict[str, Any]) -> str:
    return f"{place['doing']} step {place['step']}" if place["step"] else place["doing"]


def _store() -> Any:
    """A connection of its own to the store that the processes met at: waiting there holds up no heartbeat."""
    import torch.distributed as dist

    stores: Any = dist  # they are not among the names its stubs export
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = stores.TCPStore(address, port, is_master=False, wait_for_workers=False)
    return stores.PrefixStore(f"watch/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
