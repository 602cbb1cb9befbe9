"""Reading latents in random batches: mean and log-variance of an image of 256x256 pixels, 16 KiB in float16.

Letters: N latents, B of a batch, C channels, h/w cells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from facegen.bench.made_up import write_latents
from facegen.bench.result import StageResult
from facegen.bench.targets import finding, rate_ratio
from facegen.bench.timing import Bench, Subject, timed
from facegen.draws import Draws
from facegen.formats.latents import MOMENTS, LatentSplit, LatentStore
from facegen.tasks.denoising import latent_samples

SHAPE = (4, 32, 32)
BATCH = 64
SHARD = 8192
FIRST, STORED, GATHERED, DRAWN = (
    "first batch",
    "facegen: float16 as stored",
    "facegen: float32 moments",
    "facegen: x0 as training draws it",
)
REOPENED, FILES, MEMMAP = "safetensors re-opened per item", "one .pt per image", "DataLoader over a memmap"
GATHER, COPY = "float16 gather into a kept buffer", "memcpy of the same bytes"


def measure(bench: Bench) -> StageResult:
    """Shuffled batches of 64, no workers anywhere; the system has the files in its memory."""
    count, few = bench.size(20_000, 1_000), bench.size(1_000, 200)
    folder = write_latents(bench.folder / "latents", SHAPE, count, ("Smiling",), SHARD)
    batches = torch.randperm(count, generator=torch.Generator().manual_seed(0)).split(BATCH)
    split = LatentStore.open(folder).split("train")
    memory = _anonymous_bytes(), each(batches, split.stored)(), _anonymous_bytes()
    rows = torch.cat([torch.stack([*_moments(split, part)], 1) for part in torch.arange(count).split(SHARD)])
    samples, draws = latent_samples(LatentStore.open(folder), "train"), Draws(0, torch.arange(BATCH))
    few_batches = torch.randperm(count, generator=torch.Generator().manual_seed(1))[:few].split(BATCH)
    ways = bench.interleaved(
        Subject(STORED, "facegen", each(batches, split.stored), count, "latent"),
        Subject(GATHERED, "facegen", each(batches, split.gather), count, "latent"),
        Subject(
            DRAWN, "facegen", each(batches, lambda i: samples.draw(i, _first(draws, i))), count, "latent"
        ),
        Subject(MEMMAP, "peer", _epoch(_memmap(bench.folder / "rows.npy", rows)), count, "latent"),
        Subject(REOPENED, "peer", each(few_batches, _reopened(folder)), few, "latent"),
        Subject(
            FILES, "peer", each(few_batches, _files(bench.folder / "files", rows, few_batches)), few, "latent"
        ),
        Subject(GATHER, "limit", each(batches, _gather(rows)), count, "latent"),
        Subject(COPY, "limit", each(batches, _copy(rows)), count, "latent"),
    )
    firsts = [timed(lambda: LatentStore.open(folder).split("train").stored(batches[0])) for _ in range(7)]
    findings = [
        rate_ratio("load/gather", "of the float16 gather", ways[STORED], ways[GATHER]),
        rate_ratio("load/moments", "as float32, of the gather", ways[GATHERED], ways[GATHER]),
        rate_ratio("load/drawn", "as drawn for training, of the gather", ways[DRAWN], ways[GATHER]),
        rate_ratio("load/reopen", "times re-opening per item", ways[STORED], ways[REOPENED]),
        rate_ratio("load/files", "times one .pt per image", ways[STORED], ways[FILES]),
        rate_ratio("load/memmap", "times a DataLoader over a memmap", ways[STORED], ways[MEMMAP]),
        finding(
            "load/first",
            "opening and the first batch",
            [1e3 * one.wall for one in firsts],
            cpu_values=[1e3 * one.cpu for one in firsts],
            unit="ms",
            better="lower",
        ),
    ]
    before, _, after = memory
    left_out = () if before is not None else ("anonymous memory: this system does not tell it",)
    if before is not None and after is not None:
        findings.append(
            finding(
                "load/memory",
                "anonymous memory of an epoch",
                [(after - before) / 1e6],
                unit="MB",
                better="lower",
            )
        )
    sizes = {"latents": count, "shape": SHAPE, "batch": BATCH, "bytes_each": rows[0].numel() * 2}
    return StageResult("load", sizes, tuple(ways.values()), tuple(findings), left_out)


def each(batches: tuple[Tensor, ...], read: Callable[[Tensor], Any]) -> Callable[[], None]:
    """Reads all batches, one after the other."""

    def act() -> None:
        for indices in batches:
            read(indices)

    return act


def _moments(split: LatentSplit, indices: Tensor) -> Iterator[Tensor]:
    stored = split.stored(indices)
    return (getattr(stored, name) for name in MOMENTS)


def _first(draws: Draws, indices: Tensor) -> Draws:
    """Draws for as many as a batch has, of which the last one has fewer."""
    return draws if len(indices) == BATCH else Draws(0, torch.arange(len(indices)))


def _gather(rows: Tensor) -> Callable[[Tensor], Any]:
    kept = torch.empty(BATCH, *rows.shape[1:], dtype=rows.dtype)
    return lambda indices: torch.index_select(rows, 0, indices, out=kept[: len(indices)])


def _copy(rows: Tensor) -> Callable[[Tensor], Any]:
    kept, at = torch.empty(BATCH, *rows.shape[1:], dtype=rows.dtype), 0

    def copy(indices: Tensor) -> None:
        nonlocal at
        at = 0 if at + len(indices) > len(rows) else at
        kept[: len(indices)].copy_(rows[at : at + len(indices)])
        at += len(indices)

    return copy


def _reopened(folder: Path) -> Callable[[Tensor], Tensor]:
    """A data set whose items open their file, read a slice of each tensor and close it."""
    shards = sorted(folder.glob("latents-train-*.safetensors"))

    def item(index: int) -> Tensor:
        opened: Any = safe_open(shards[index // SHARD], framework="pt")
        with opened as file:
            return torch.stack([file.get_slice(name)[index % SHARD] for name in MOMENTS])

    return lambda indices: torch.stack([item(index) for index in indices.tolist()])


def _files(folder: Path, rows: Tensor, batches: tuple[Tensor, ...]) -> Callable[[Tensor], Tensor]:
    """A file of torch.save for every image."""
    folder.mkdir()
    for index in torch.cat(batches).tolist():
        torch.save(rows[index].clone(), folder / f"{index}.pt")
    return lambda indices: torch.stack([torch.load(folder / f"{index}.pt") for index in indices.tolist()])


class _Mapped(Dataset[Tensor]):
    """Rows of a memory map, each copied into a tensor of its own."""

    def __init__(self, file: Path) -> None:
        self._rows: Any = np.load(file, mmap_mode="r")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(self._rows[index].copy())


def _memmap(file: Path, rows: Tensor) -> DataLoader[Tensor]:
    np.save(file, rows.numpy())
    return DataLoader(_Mapped(file), batch_size=BATCH, shuffle=True)


def _epoch(loader: DataLoader[Tensor]) -> Callable[[], None]:
    def act() -> None:
        for _ in loader:
            pass

    return act


def _anonymous_bytes() -> int | None:
    """What this process holds that is not a file's; None where Linux does not say so."""
    try:
        found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
    except OSError:
        return None
    return 1024 * int(found[1]) if found else None
