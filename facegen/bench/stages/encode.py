"""Images become latents: a KL autoencoder that takes its time, and a compact one that does not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facegen.autoencoders import LoadedAutoencoder, load_autoencoder, save_autoencoder
from facegen.bench.result import Finding, StageResult, Way
from facegen.bench.targets import rate_ratio
from facegen.bench.timing import Bench, Subject
from facegen.config.kinds import kind_config, load_kind
from facegen.encoding.encode import encode
from facegen.encoding.job import fast_batch
from facegen.formats.dataset import Dataset
from facegen.formats.images import to_pil, to_unit
from facegen.models.devices import resolve_device
from facegen.preparation.options import PrepareOptions
from facegen.preparation.prepare import prepare
from facegen.training.trainer import build_seeded

AUTOENCODERS: dict[str, dict[str, Any]] = {
    "kl": {
        "kind": "kl",
        "block_out_channels": [32, 64, 64],
        "layers_per_block": 1,
        "norm_num_groups": 8,
    },
    "compact": {"kind": "compact"},
}


def measure(bench: Bench) -> StageResult:
    """Avatars of 64 pixels through both; of 1,024 through the compact one, where decoding is the work."""
    ways: dict[str, Way] = {}
    findings: list[Finding] = []
    counts = {"kl": bench.size(192, 32), "compact": bench.size(1_024, 64)}
    for kind, count in counts.items():
        one = _Encoding(bench, kind, 64, count, serial=bench.size(64, 8))
        ours, peer, limit = one.names
        ways |= one.measured(bench)
        findings += [
            rate_ratio(f"encode/{kind}", f"{kind}, of the bare encoder", ways[ours], ways[limit]),
            rate_ratio(
                f"encode/serial-{kind}", f"{kind}, times a loop of one at a time", ways[ours], ways[peer]
            ),
        ]
    if not bench.quick:
        large = _Encoding(bench, "compact", 1024, 32, serial=8)
        ways |= large.measured(bench)
        ours, peer, _ = (ways[name] for name in large.names)
        findings.append(rate_ratio("encode/serial", "compact of 1024 pixels, times a loop", ours, peer))
    sizes = {"images": counts, "pixels": 64, "batch": fast_batch(resolve_device("auto"), 64)}
    return StageResult("encode", sizes, tuple(ways.values()), tuple(findings))


class _Encoding:
    """One autoencoder on avatars of one size, three ways."""

    def __init__(self, bench: Bench, kind: str, size: int, count: int, serial: int) -> None:
        pixels = f"{kind}, {size} pixels"
        self.names = tuple(
            f"{way}, {pixels}" for way in ("facegen", "one at a time, a .pt each", "bare encoder")
        )
        self._count, self._out = count, bench.folder / "latents"
        self._data = bench.folder / f"avatars-{size}-{count}"
        prepare(
            "avatars",
            None,
            self._data,
            PrepareOptions(size=size, count=count, splits=(1.0, 0.0, 0.0), workers=1),
        )
        self._folder = untrained(kind, bench.folder / kind)
        self._loaded = load_autoencoder(self._folder, resolve_device("auto"))
        self._images = Dataset.open(self._data).split("train").images(range(count))
        self._files = bench.folder / f"files-{size}-{kind}"
        self._files.mkdir()
        for number, image in enumerate(self._images[:serial]):
            to_pil(image).save(self._files / f"{number}.png")

    def measured(self, bench: Bench) -> dict[str, Way]:
        ours, peer, limit = self.names
        files = sorted(self._files.glob("*.png"))
        return bench.interleaved(
            Subject(ours, "facegen", self._encode, self._count),
            Subject(peer, "peer", partial(_one_at_a_time, self._loaded, files), len(files)),
            Subject(limit, "limit", bare(self._loaded, self._images), self._count),
        )

    def _encode(self) -> None:
        shutil.rmtree(self._out, ignore_errors=True)
        encode(self._data, str(self._folder), self._out)


def untrained(kind: str, folder: Path) -> Path:
    """A folder with an autoencoder of `AUTOENCODERS` as it is before any training."""
    if not folder.exists():
        config = kind_config("autoencoders", AUTOENCODERS[kind])
        save_autoencoder(
            build_seeded(lambda: load_kind("autoencoders", kind).build(config), 0), config, folder
        )
    return folder


def bare(loaded: LoadedAutoencoder, images: Tensor) -> Callable[[], None]:
    """The encoder on images that lie decoded in memory."""
    device = resolve_device("auto")
    batches = to_unit(images).to(device).split(fast_batch(device, images.shape[-1]))

    @torch.inference_mode()
    def act() -> None:
        for batch in batches:
            loaded.module.encode(batch)

    return act


@torch.no_grad()
def _one_at_a_time(loaded: LoadedAutoencoder, files: list[Path]) -> None:
    """Open, encode, save; and the next."""
    device = resolve_device("auto")
    for file in files:
        with Image.open(file) as image:
            pixels = torch.from_numpy(np.asarray(image.convert("RGB")).copy()).permute(2, 0, 1)
        found = loaded.module.encode((pixels.float() / 127.5 - 1)[None].to(device))
        torch.save(
            {"mean": found.mean.cpu(), "log_variance": found.log_variance.cpu()}, file.with_suffix(".pt")
        )
