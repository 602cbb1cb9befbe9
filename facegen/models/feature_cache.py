"""Features and statistics of images, computed once and kept between evaluations.

    $FACEGEN_CACHE (else $XDG_CACHE_HOME/facegen, else ~/.cache/facegen)/features/<key>.safetensors
                                                                 ... /<key>.parts/   of a stream that goes on

The key is a hash of everything that the content depends on: the extractor's fingerprint, and for real images
the data set's, the split and the rows; for a folder the hash of its files; for a run its weights, settings,
conditions and seeds; and the code that all of this goes through, found by following imports, never by a list
kept by hand. Deleting the folder costs time alone.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

import facegen
from facegen.caches import user_cache
from facegen.errors import StorageError
from facegen.formats.classifier_run import check_image_size
from facegen.formats.files import atomic_write, sha256_of
from facegen.models.feature_networks import FeatureExtractor
from facegen.models.feature_stream import Stream
from facegen.processes import world
from facegen.protocols import Progress

CACHE_FORMAT_VERSION = 1
STREAM_IMAGES = 1024  # between two savings of a stream
PACKAGE = Path(facegen.__file__).parent


def cached_tensors(
    key: Mapping[str, Any], modules: set[str], compute: Callable[[], dict[str, Tensor]], progress: Progress
) -> dict[str, Tensor]:
    """The tensors kept under `key` and the code of `modules`, or those of `compute()`, which are then kept.

    A damaged file is computed anew, and a cache that cannot be written is only warned about. Several
    processes compute together, and the first reads and writes for all.
    """
    path = _place(key, modules)
    kept = world().first(lambda: _read(path, progress))
    if kept is not None:
        return kept
    tensors = compute()
    world().first(lambda: _keep(path, tensors, progress))
    return tensors


def _place(key: Mapping[str, Any], modules: set[str]) -> Path:
    whole = {**key, "code": code_fingerprint({__name__, *modules}), "format": CACHE_FORMAT_VERSION}
    digest = sha256_of(json.dumps(whole, sort_keys=True).encode())
    return user_cache() / "features" / f"{digest}.safetensors"


def _read(path: Path, progress: Progress) -> dict[str, Tensor] | None:
    if not path.is_file():
        return None
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        progress.warn(f"The cached file '{path}' is damaged ({error}); computing it anew.")
        return None


def _keep(path: Path, tensors: dict[str, Tensor], progress: Progress) -> None:
    try:
        atomic_write(path, save({name: tensor.contiguous() for name, tensor in tensors.items()}))
    except (StorageError, OSError) as error:
        progress.warn(f"Features are not kept for next time: {error}")


@dataclass(frozen=True)
class Viewer:
    """A feature network, how many images it is shown at once, and who is told how far it is."""

    extractor: FeatureExtractor
    batch_size: int
    progress: Progress

    @staticmethod
    def of(
        extractor: FeatureExtractor,
        image_size: int,
        batch_size: int | None,
        progress: Progress,
        hint: str | None = None,
    ) -> Viewer:
        """A viewer of images of `image_size` pixels; `batch_size` None takes the network's own.

        Raises:
            UsageError: the network takes another size; `hint` says what to do.
        """
        check_image_size(f"The network of '{extractor.name}'", extractor.image_size, image_size, hint=hint)
        return Viewer(extractor, batch_size or extractor.default_batch_size, progress)

    def features(self, parts: Iterable[Tensor], total: int, title: str) -> Tensor:
        """Features (N, D) of uint8 batches, with a progress bar; several processes divide the batches."""
        here, mine = world(), dict[int, Tensor]()
        with self.progress.stage(title, total=total) as bar:
            for number, images in enumerate(parts):
                if number % here.size == here.rank:
                    mine[number] = self.extractor(images)
                bar.advance(len(images))
        features = {number: part for found in here.gather(mine) for number, part in found.items()}
        return torch.cat([features[number] for number in sorted(features)])

    def kept_features(
        self, key: Mapping[str, Any], modules: set[str], parts: Iterable[Tensor], total: int, title: str
    ) -> Tensor:
        """As `features`, from the cache where images of this `key`, made by these `modules`, were seen."""
        whole = {**key, "extractor": self.extractor.fingerprint}
        seen_by = modules | modules_of(self.extractor)
        found = cached_tensors(
            whole, seen_by, lambda: {"features": self.features(parts, total, title)}, self.progress
        )
        return found["features"]

    def streamed_features(
        self,
        key: Mapping[str, Any],
        modules: set[str],
        parts_from: Callable[[int], Iterable[Tensor]],
        total: int,
        title: str,
    ) -> Tensor:
        """As `kept_features`, of images that are looked at and thrown away: `parts_from(n)` brings them from
        number n on. What was seen is kept every `STREAM_IMAGES`, and a call that was stopped goes on there.

        No more than that is held in memory: the features lie in a file that is mapped into it.
        """
        if total <= STREAM_IMAGES:
            return self.kept_features(key, modules, parts_from(0), total, title)
        whole, seen_by = (
            {**key, "extractor": self.extractor.fingerprint},
            modules | modules_of(self.extractor),
        )
        path, first = _place(whole, seen_by), world().first
        kept = first(lambda: _read(path, self.progress))
        if kept is not None:
            return kept["features"]
        stream = Stream(path.with_suffix(".parts"))
        done = first(lambda: stream.length)
        if done:
            self.progress.say(f"Going on: {done:,} of {total:,} images are judged already.")
        try:
            if done < total:
                self._look_on(stream, parts_from(done), done, total, title)
            first(lambda: stream.finish(path))
        except (StorageError, OSError) as error:
            self.progress.warn(f"Features are not kept on the way, but held in memory: {error}")
            return self.features(parts_from(0), total, title)
        return first(lambda: load_file(path))["features"]

    def _look_on(self, stream: Stream, parts: Iterable[Tensor], done: int, total: int, title: str) -> None:
        """Add the features of the images from number `done` on to the stream; processes divide them."""
        here, waiting = world(), list[Tensor]()
        with self.progress.stage(title, total=total) as bar:
            bar.advance(done)
            for images in parts:
                waiting.append(images)
                bar.advance(len(images))
                count = sum(map(len, waiting))
                if count >= STREAM_IMAGES or done + count == total:
                    features = torch.cat(list(here.divided(waiting, self.extractor)))
                    here.first(lambda start=done, seen=features: stream.add(start, seen))
                    done, waiting = done + count, []


def code_fingerprint(modules: Iterable[str], package: Path = PACKAGE) -> str:
    """sha256 of the source of `modules` and of all that they import of the `package`'s code, however deep.

    Tables (YAML) count with the modules they stand beside. Imports inside functions count, those for type
    checkers alone do not. Kinds are found by name as a program runs, which no import tells: pass their
    modules too (`modules_of`). Code from elsewhere counts where it is loaded, libraries do not.
    """
    digest = hashlib.sha256()
    for name, path in sorted(_closure(modules, package).items()):
        digest.update(name.encode())
        for file in (path, *sorted(path.parent.glob("*.yaml"))):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def modules_of(*things: Any) -> set[str]:
    """The modules that functions, classes or objects stand in, of objects also those of inherited classes."""
    return {each.__module__ for thing in things for each in (thing, *type(thing).__mro__)}


def _closure(modules: Iterable[str], package: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = _file_of(name, package)
        if path is None or name in found:
            continue
        found[name] = path
        waiting += [name.rpartition(".")[0], *_imports(path)]
    return found


def _file_of(name: str, package: Path) -> Path | None:
    """The source of a module of the package, or of a loaded one from elsewhere that is no library."""
    root, *parts = name.split(".")
    if root == package.name:
        stem = package.joinpath(*parts)
        return next(
            (path for path in (stem / "__init__.py", stem.with_suffix(".py")) if path.is_file()), None
        )
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None or "site-packages" in file or file.startswith(sys.base_prefix):
        return None
    return Path(file)


@cache
def _imports(path: Path) -> tuple[str, ...]:
    """Names that may be modules: `from a.b import c` may mean `a.b` and `a.b.c`."""
    return tuple(_imported(ast.parse(path.read_bytes())))


def _imported(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from _imported(child)
