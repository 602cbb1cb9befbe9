"""Snapshots of averaged weights, from which averages of any width are made after training.

    RUN/ema/
      step-00001000.safetensors   every kept width's average after that step: `0.05/NAME`, `buffers/NAME`
      snapshots.json              widths, and of each snapshot its step, updates and sha256; written last
      width-0.12/                 a checkpoint folder that `facegen ema` made of them

A file is whole or not there, and one that the index does not name is none: a killed write leaves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from facegen.errors import DataError, StorageError
from facegen.formats.checkpoint_head import INFO_FILE as CHECKPOINT_INFO
from facegen.formats.checkpoint_head import checkpoint_name
from facegen.formats.far import fetched
from facegen.formats.files import atomic_write, read_json, saving, sha256_of
from facegen.formats.plain import from_plain

SNAPSHOTS_FORMAT_VERSION = 1
FOLDER = "ema"
INDEX_FILE = "snapshots.json"
BUFFERS = "buffers"
HALF_ERROR = 2.0**-11  # what rounding to float16 costs at most, within its range


@dataclass(frozen=True)
class EmaSnapshot:
    """The averages after `step`, which had taken in `updates` steps that were not skipped."""

    step: int
    updates: int
    sha256: str

    @property
    def file(self) -> str:
        return f"{checkpoint_name(self.step)}.safetensors"


@dataclass(frozen=True)
class _Index:
    widths: tuple[float, ...] = ()
    snapshots: tuple[EmaSnapshot, ...] = ()


class EmaSnapshots:
    """The snapshots in the folder of a run; none is a run that keeps none."""

    def __init__(self, run: Path) -> None:
        self.folder = Path(run) / FOLDER

    @property
    def widths(self) -> tuple[float, ...]:
        """The widths that every snapshot holds.

        Raises:
            StorageError: the index is unreadable.
        """
        return self._index().widths

    def all(self) -> tuple[EmaSnapshot, ...]:
        """Every snapshot, oldest first.

        Raises:
            StorageError: the index is unreadable.
        """
        return self._index().snapshots

    def write(
        self,
        step: int,
        updates: int,
        averages: Mapping[float, Mapping[str, Tensor]],
        buffers: Mapping[str, Tensor],
    ) -> None:
        """Keep the averages of each width after `step`, in float16 where that holds them, and the buffers.

        Raises:
            StorageError: the disk is full or cannot be written to; earlier snapshots stand.
        """
        tensors = {
            tensor_name(width, name): _small(tensor)
            for width, named in averages.items()
            for name, tensor in named.items()
        }
        tensors |= {tensor_name(BUFFERS, name): _alone(tensor) for name, tensor in buffers.items()}
        content = save(tensors)
        snapshot = EmaSnapshot(step, updates, sha256_of(content))
        earlier = [one for one in self.all() if one.step < step]
        with saving(f"the snapshot '{self.folder / snapshot.file}'"):
            atomic_write(self.folder / snapshot.file, content)
            self._write_index(_Index(tuple(averages), (*earlier, snapshot)))

    def drop_after(self, step: int) -> None:
        """Remove what came after `step`, which the resumed run makes again, and what killed writes left.

        Raises:
            StorageError: the index is unreadable, or the folder cannot be written to.
        """
        if not self.folder.is_dir():
            return
        index = self._index()
        kept = tuple(one for one in index.snapshots if one.step <= step)
        with saving(f"the snapshots in '{self.folder}'"):
            if kept != index.snapshots:
                self._write_index(_Index(index.widths, kept))
            named = {one.file for one in kept}
            for path in (*self.folder.glob("step-*.safetensors"), *self.folder.glob(".*.tmp")):
                if path.is_file() and path.name not in named:
                    path.unlink()

    @contextmanager
    def opened(self, snapshots: Sequence[EmaSnapshot]) -> Generator[list[Any]]:
        """Open `snapshots`, each checked against its sha256, to read tensors by `tensor_name` one at a time.

        Raises:
            StorageError: names the first file that is missing, cut or altered.
        """
        with ExitStack() as stack:
            opened: list[Any] = []
            for snapshot in snapshots:
                path = fetched(self.folder / snapshot.file)
                if not path.is_file():
                    raise _damaged(path, "is missing")
                if sha256_of(path) != snapshot.sha256:
                    raise _damaged(path, "is corrupt: its checksum does not match")
                try:
                    opened.append(stack.enter_context(safe_open(path, framework="pt")))
                except SafetensorError as error:
                    raise _damaged(path, f"is unreadable: {error}") from error
            yield opened

    def _index(self) -> _Index:
        path = self.folder / INDEX_FILE
        if not path.is_file():
            return _Index()
        try:
            return from_plain(_Index, read_json(path, SNAPSHOTS_FORMAT_VERSION), path)
        except DataError as error:
            raise StorageError(
                f"The index of averaged snapshots is damaged: {error}",
                hint=f"Restore it. Without it nothing can be made of the snapshots: remove '{self.folder}'.",
            ) from error

    def _write_index(self, index: _Index) -> None:
        data = {"format_version": SNAPSHOTS_FORMAT_VERSION, **asdict(index)}
        atomic_write(self.folder / INDEX_FILE, json.dumps(data, indent=1) + "\n")


def list_averages(run: Path) -> list[Path]:
    """Checkpoint folders that `facegen ema` made in a run."""
    return sorted(info.parent for info in (run / FOLDER).glob(f"width-*/{CHECKPOINT_INFO}"))


def tensor_name(group: float | str, name: str) -> str:
    """Name in a snapshot's file of a width's average, or of what is in `BUFFERS`."""
    return f"{group}/{name}"


def _damaged(path: Path, how: str) -> StorageError:
    return StorageError(
        f"Snapshot '{path}' {how}.", hint="Restore that file, or take a moment before it with --step."
    )


def _small(tensor: Tensor) -> Tensor:
    """The tensor in float16 where all of it is in its range, else as it is."""
    half, exact = tensor.half(), tensor.double()
    lost = (half.double() - exact).square().sum().sqrt()  # infinite or NaN beyond the range
    return _alone(half if bool(lost <= HALF_ERROR * exact.square().sum().sqrt()) else tensor)


def _alone(tensor: Tensor) -> Tensor:
    """On the CPU, contiguous and with memory of its own: safetensors refuses what is shared."""
    return tensor.detach().cpu().contiguous().clone()
