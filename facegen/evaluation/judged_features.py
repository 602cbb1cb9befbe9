"""Features of judged images, from the cache where the same images were seen before by the same network."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import facegen
from facegen.evaluation.feature_cache import cached_tensors
from facegen.evaluation.image_sources import FolderImages, StoredImages, chosen_indices
from facegen.evaluation.judged_images import JudgedImages
from facegen.evaluation.reference_statistics import collect_features
from facegen.formats.dataset import Dataset
from facegen.models.feature_networks import FeatureExtractor
from facegen.models.generator import FaceGenerator
from facegen.protocols import Progress
from facegen.sampling.records import BATCH_IMAGES, LabelledRecords, reconstructions

CEILING_IMAGES = 1000  # the ceiling is not worth more time than the score
DRAWING_KINDS = ("autoencoders", "conditioners", "denoisers", "samplers")  # found by name, not by import


@dataclass(frozen=True)
class Look:
    """Features (N, D) of all images, and how the images were kept."""

    features: Tensor
    formats: tuple[str, ...]
    compression: str


def judged_features(
    judged: JudgedImages, split: str, extractor: FeatureExtractor, batch_size: int, progress: Progress
) -> Look:
    """Look at all images of `judged` once; for a run that means drawing them.

    Raises:
        DataError: an image of another size than the first, or not RGB.
    """
    title = judged.title("Features of the images")

    def compute() -> dict[str, Tensor]:
        parts = judged.parts(batch_size)
        return {"features": collect_features(parts, len(judged), extractor, title, progress)}

    key, stored = _key(judged, split)
    if key is None:
        return Look(compute()["features"], stored.formats, stored.compression)
    kept = cached_tensors({**key, "extractor": extractor.fingerprint}, compute, progress)
    return Look(kept["features"], stored.formats, stored.compression)


def reconstructed_features(
    judged: JudgedImages,
    dataset: Dataset,
    split: str,
    seed: int,
    extractor: FeatureExtractor,
    progress: Progress,
) -> Tensor | None:
    """Features of the reference's own images after the run's autoencoder; None for what is not a run."""
    generator = judged.generator
    if generator is None:
        return None
    real = dataset.split(split)
    records = LabelledRecords(dataset.folder, split, real.frame, dataset=dataset)
    rows = chosen_indices(len(real), min(CEILING_IMAGES, len(judged)), seed)

    def compute() -> dict[str, Tensor]:
        parts = (reconstructions(generator, records, part) for part in rows.split(BATCH_IMAGES))
        title = "Features of reconstructions"
        return {"features": collect_features(parts, len(rows), extractor, title, progress)}

    key = {
        "what": "reconstructions",
        "dataset": dataset.manifest.fingerprint,
        "split": split,
        "rows": _digest(rows.tolist()),
        "autoencoder": _state_digest(generator.autoencoder),
        "scaling": repr(generator.scaling),
        "extractor": extractor.fingerprint,
        "code": code_digest(),
    }
    return cached_tensors(key, compute, progress)["features"]


def _key(judged: JudgedImages, split: str) -> tuple[dict[str, Any] | None, StoredImages]:
    """What the images depend on, None where that is unknown, and how they are kept."""
    lossless = StoredImages("", ("png",))
    if judged.kind == "folder":
        folder = FolderImages(judged.path)
        names = {path.name: index for index, path in enumerate(folder.files)}
        stored = folder.stored(torch.tensor([names[name] for name in judged.names]))
        return {"what": "folder", "files": stored.sha256}, stored
    if judged.kind == "dataset":
        fingerprint = Dataset.open(judged.path).manifest.fingerprint
        rows = _digest(list(judged.names))
        return {"what": "dataset rows", "dataset": fingerprint, "split": split, "rows": rows}, lossless
    generator = judged.generator
    if generator is None or generator.weights_sha256 is None:
        return None, StoredImages("", ("none",))
    return _drawn_key(judged, generator), StoredImages("", ("none",))


def _drawn_key(judged: JudgedImages, generator: FaceGenerator) -> dict[str, Any]:
    return {
        "what": "drawn faces",
        "weights": generator.weights_sha256,
        "autoencoder": _state_digest(generator.autoencoder),
        "recipe": _digest(generator.recipe.model_dump(mode="json")),
        "scaling": repr(generator.scaling),
        "settings": judged.settings,
        "requests": _digest(judged.frame.to_json(orient="split")),
        "count": len(judged),
        "device": generator.device.type,
        "code": code_digest(),
        "facegen": facegen.__version__,
        "torch": torch.__version__,
    }


@cache
def drawing_code() -> tuple[Path, ...]:
    """The files that drawing a face may depend on: the generator, the kinds of its parts, all they import."""
    package = Path(facegen.__file__).parent
    found: set[Path] = set()
    wanted = [package / "models" / "generator.py", package / "sampling" / "records.py"]
    wanted += [path for family in DRAWING_KINDS for path in (package / family).glob("*.py")]
    while wanted:
        path = wanted.pop()
        if path in found or not path.is_file():
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("facegen"):
                module = package.parent.joinpath(*str(node.module).split("."))
                named = [module / f"{alias.name}.py" for alias in node.names]
                wanted += [module.with_suffix(".py"), module / "__init__.py", *named]
    return tuple(sorted(found))


def code_digest() -> str:
    """sha256 of the code that draws faces: another version of it may draw others."""
    digest = hashlib.sha256(inspect.getsource(FaceGenerator.generate).encode())
    for path in drawing_code():
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _state_digest(module: Any) -> str:
    digest = hashlib.sha256()
    if isinstance(module, nn.Module):
        for name, value in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
