"""Several processes of one command: how they find one another, agree, and notice that one is gone.

`torchrun -m facegen -- ...` starts them, and so does whatever sets the same variables (`NEEDED`), such as
`srun` in the script of `facegen slurm`. torch.distributed is used as it is: what is drawn, ordered and
averaged is this package's own, and the same for any number of processes (docs/decisions/0009-processes.md).
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from facegen.errors import FacegenError, LostProcessError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
COLLECTIVE_SECONDS = 24 * 3600  # how long a process may wait: whoever hangs is named by `Watch`, far sooner
JOIN_SECONDS = 300

TOLD = "told_elsewhere"  # attribute of errors that came from another process

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The processes that work together: this one is `rank` of `size`, and `local_rank` on its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this one writes files and talks to people."""
        return self.rank == 0

    @property
    def is_many(self) -> bool:
        return self.size > 1

    def share(self, value: T) -> T:
        """The first process's `value`, in all of them."""
        if not self.is_many:
            return value
        import torch.distributed as dist

        box = [value]
        with _told_of_loss():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: T) -> list[T]:
        """Every process's `value`, by rank, in all of them."""
        if not self.is_many:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.size
        with _told_of_loss():
            dist.all_gather_object(values, value)
        return values

    def first(self, act: Callable[[], T]) -> T:
        """What `act` returns in the first process, which alone does it; what it raises is raised in all.

        While it acts, `world()` is that process alone: nothing in it waits for the others.
        """
        if not self.is_many:
            return act()
        result, failure = None, None
        if self.is_first:
            _joined.append(ALONE)
            try:
                result = act()
            except BaseException as error:
                failure = error
            finally:
                _joined.pop()
        result, told = self.share((result, _sendable(failure)))
        _raise_in_all(failure, told)
        return result  # pyright: ignore[reportReturnType]

    def together(self, act: Callable[[], T]) -> T:
        """What `act` returns; if it raises anywhere, the error of the first such process is raised in all."""
        if not self.is_many:
            return act()
        result, failure = None, None
        try:
            result = act()
        except Exception as error:
            failure = error
        failures = self.gather(_sendable(failure))
        rank = next((rank for rank, one in enumerate(failures) if one is not None), None)
        if rank is not None:
            _raise_in_all(failure if rank == self.rank else None, failures[rank])
        return result  # pyright: ignore[reportReturnType]

    def part(self, items: Sequence[T]) -> Sequence[T]:
        """Every `size`-th of `items`, from `rank` on."""
        return items[self.rank :: self.size]

    def divided(self, items: Sequence[S], work: Callable[[S], T]) -> Iterator[T]:
        """What `work` makes of each of `items`, in their order, in all processes; each does its part.

        An error of any process is raised in all.
        """
        for start in range(0, len(items), self.size):
            turn = items[start : start + self.size]
            made = self.together(lambda turn=turn: [work(item) for item in self.part(turn)])
            yield from chain.from_iterable(self.gather(made))

    def mean(self, tensor: Tensor) -> Tensor:
        """Mean over the processes of a tensor, in place."""
        return self._reduced(tensor, "sum").div_(self.size) if self.is_many else tensor

    def largest(self, tensor: Tensor) -> Tensor:
        """The largest over the processes of each entry of a tensor, in place."""
        return self._reduced(tensor, "max") if self.is_many else tensor

    def wait(self) -> None:
        """Until all processes are here."""
        self.gather(None)

    def _reduced(self, tensor: Tensor, how: str) -> Tensor:
        import torch.distributed as dist

        with _told_of_loss():
            dist.all_reduce(tensor, dist.ReduceOp.SUM if how == "sum" else dist.ReduceOp.MAX)
        return tensor


ALONE = World()
_joined = [ALONE]
_has_met = False


def world() -> World:
    """The processes of this command; one alone if it was started without a launcher."""
    return _joined[-1]


def launched_size() -> int:
    """How many processes a launcher started; 1 without one.

    Raises:
        UsageError: a launcher's variables are there in part, or are no numbers.
    """
    size = os.environ.get("WORLD_SIZE")
    if size is None or size == "1":
        return 1
    missing = [name for name in NEEDED if name not in os.environ]
    numbers = [os.environ.get(name, "0") for name in NEEDED if name != "MASTER_ADDR"]
    if missing or not all(number.isdigit() for number in numbers):
        raise UsageError(
            f"WORLD_SIZE is {size}, so a launcher started this process, but "
            + (f"{', '.join(missing)} is not set." if missing else "its other variables are no numbers."),
            hint="Start with: torchrun --nproc-per-node N -m facegen -- ...; or unset WORLD_SIZE.",
        )
    return int(size)


@contextmanager
def joined() -> Generator[World]:
    """Meet the other processes that a launcher started, for as long as the context lasts.

    Raises:
        UsageError: the launcher's variables are incomplete.
        LostProcessError: the others did not come, or one was lost on the way.
    """
    size = launched_size()
    if size == 1:
        yield ALONE
        return
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # what is lost is told in words, not in C++ frames
    import torch
    import torch.distributed as dist

    here = World(int(os.environ["RANK"]), size, int(os.environ["LOCAL_RANK"]))
    accelerator, backend = torch.accelerator.current_accelerator(check_available=True), "gloo"
    if accelerator is not None and accelerator.type != "mps":  # which has no collectives
        torch.accelerator.set_device_index(here.local_rank % torch.accelerator.device_count())
        backend = f"cpu:gloo,{accelerator.type}:{dist.get_default_backend_for_device(accelerator)}"
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=JOIN_SECONDS))
    except (RuntimeError, ValueError) as error:
        raise LostProcessError(
            f"Process {here.rank} of {size} waited {JOIN_SECONDS} seconds for the others: {_brief(error)}",
            hint="Start all of them, with the same MASTER_ADDR and MASTER_PORT.",
        ) from error
    _set_timeout(dist.group.WORLD)
    global _has_met
    _has_met = True
    _joined.append(here)
    try:
        yield here
    finally:
        _joined.pop()
        dist.destroy_process_group()


def leave(code: int) -> None:
    """End a process that has met others with exit code `code`, at once; do nothing in one that has not.

    Threads of gloo outlive `joined`, because a wrapped module keeps its group. One of them that lets go of a
    tensor while Python winds up aborts the process, whatever its work had come to: seen in one of eight.
    """
    if _has_met:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _set_timeout(group: Any) -> None:
    """Let collectives wait for long: one process may be validating, sampling or saving meanwhile."""
    from torch.distributed.distributed_c10d import _set_pg_timeout

    _set_pg_timeout(timedelta(seconds=COLLECTIVE_SECONDS), group)


@contextmanager
def _told_of_loss() -> Generator[None]:
    """Make of a collective's failure what it means: another process is gone."""
    try:
        yield
    except RuntimeError as error:
        raise _lost(error) from error


def _lost(error: Exception) -> LostProcessError:
    """What a failed collective comes to, for people."""
    return LostProcessError(
        f"Process {world().rank} of {world().size} lost another one: {_brief(error)}",
        hint="What that one printed says why. The last checkpoint stands: start again with the same command "
        "and --resume.",
    )


def is_told_elsewhere(error: FacegenError) -> bool:
    """Whether another process of this command tells people of `error`.

    The first does, of its own and of those that others failed with; each says itself that it lost another.
    """
    if isinstance(error, LostProcessError):
        return getattr(error, TOLD, False)
    return os.environ.get("RANK", "0") != "0" and launched_size() > 1


def _raise_in_all(mine: BaseException | None, told: BaseException | None) -> None:
    """Raise an error where it happened, and what was `told` of it elsewhere."""
    if mine is not None:
        raise mine
    if told is not None:
        setattr(told, TOLD, True)
        raise told


def _brief(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)


def _sendable(error: BaseException | None) -> BaseException | None:
    """An error as it can be told to other processes."""
    if error is None:
        return None
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return FacegenError(f"Process {world().rank} failed: {error!r}")
    return error


def here() -> str:
    """This process, for people: PID and host."""
    return f"PID {os.getpid()} on host '{socket.gethostname()}'"
