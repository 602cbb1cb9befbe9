"""All ways of a stage do the same work."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facegen.bench.made_up import Network, recipe_of, write_latents
from facegen.bench.stages import load, train
from facegen.bench.stages._pillow import loop
from facegen.bench.stages.encode import untrained
from facegen.bench.stages.prepare import write_photos
from facegen.bench.timing import Bench
from facegen.formats.dataset import Dataset
from facegen.formats.latents import LatentStore
from facegen.preparation.options import PrepareOptions
from facegen.preparation.prepare import prepare

COUNT = 150


def test_every_way_of_loading_reads_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "SHARD", 64)
    folder = write_latents(tmp_path / "latents", (2, 4, 4), COUNT, ("Smiling",), 64)
    split = LatentStore.open(folder).split("train")
    assert len(split) == COUNT
    stored = split.stored(torch.arange(COUNT))
    rows = torch.stack([stored.mean, stored.log_variance], 1)
    indices = torch.randperm(COUNT)[: load.BATCH]
    wanted = rows[indices]
    files = load._files(tmp_path / "files", rows, (indices,))
    for read in (load._reopened(folder), files, load._gather(rows)):
        assert torch.equal(read(indices), wanted)
    loaded = torch.cat(list(load._memmap(tmp_path / "rows.npy", rows)))
    assert torch.equal(loaded.flatten(1).sort(0).values, rows.flatten(1).sort(0).values)


def test_the_loop_of_pillow_makes_the_pixels_that_prepare_makes(tmp_path: Path) -> None:
    source = write_photos(tmp_path / "photos", 6)
    options = PrepareOptions(size=32, crop="center", workers=1, splits=(1.0, 0.0, 0.0))
    prepare("image-folder", source, tmp_path / "made", options)
    images = Dataset.open(tmp_path / "made").split("train").images(range(6))
    ours = {image.numpy().transpose(1, 2, 0).tobytes() for image in images}
    loop(32, tmp_path / "loop", sorted(source.iterdir()))
    theirs = {np.asarray(Image.open(file)).tobytes() for file in (tmp_path / "loop").iterdir()}
    assert ours == theirs


def test_the_trainer_gives_the_beat_and_stops_when_all_rounds_are_made(tmp_path: Path) -> None:
    latents = write_latents(tmp_path / "latents", (4, 4, 4), 16, ("Smiling",))
    network = Network("least", width=16, depth=1, num_heads=1, batch_size=4)
    ticks: list[int] = []
    bench = Bench(tmp_path, quick=True, tick=lambda: ticks.append(1))
    one = train._Training(bench, network, latents, 2, peer=False)
    ways = one.measured()
    assert set(ways) == {train.OURS, train.BARE, train.PEAK}
    assert {len(way.seconds) for way in ways.values()} == {bench.rounds}
    assert one._trainer.step == 2 * (1 + bench.rounds) == 2 * len(ticks)
    keys = [finding.key for finding in one.findings(ways, 16)]
    assert "train/overhead-16" in keys


def test_operations_of_a_step_are_counted(tmp_path: Path) -> None:
    latents = write_latents(tmp_path / "latents", (4, 4, 4), 16, ("Smiling",))
    make = partial(Network, "least", depth=1, num_heads=1, batch_size=4)
    narrow, wide = (
        train._Training(Bench(tmp_path / str(width), True), make(width=width), latents, 1, peer=False)
        for width in (16, 64)
    )
    assert 4 < wide._operations / narrow._operations < 16
    assert recipe_of(make(width=16), latents).training.batch_size == 4


def test_autoencoders_are_written_once_and_come_back(tmp_path: Path) -> None:
    folder = untrained("compact", tmp_path / "compact")
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert untrained("compact", folder) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
