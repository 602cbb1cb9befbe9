"""Features of judged images, from the cache where the same images were seen before by the same network."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import facegen
from facegen.config.kinds import load_kind
from facegen.evaluation.code_fingerprint import modules_of
from facegen.evaluation.feature_cache import cached_tensors, collect_features
from facegen.evaluation.image_sources import FolderImages, StoredImages, batches, chosen_indices
from facegen.evaluation.judged_images import JudgedImages
from facegen.formats.dataset import Dataset
from facegen.models.feature_networks import FeatureExtractor
from facegen.models.generator import FaceGenerator
from facegen.protocols import Progress
from facegen.sampling.records import BATCH_IMAGES, LabelledRecords, generated_batches, reconstructions

CEILING_IMAGES = 1000  # the ceiling is not worth more time than the score


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
    made_by = (
        modules_of(extractor, Dataset, batches)
        if judged.generator is None
        else {
            *modules_of(extractor, generated_batches),
            *drawing_modules(judged.generator),
        }
    )
    kept = cached_tensors({**key, "extractor": extractor.fingerprint}, made_by, compute, progress)
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
    }
    made_by = modules_of(extractor, dataset, reconstructions, generator.autoencoder)
    return cached_tensors(key, made_by, compute, progress)["features"]


def drawing_modules(generator: FaceGenerator) -> set[str]:
    """The modules that draw with this generator: its own and those of the kinds it is made of."""
    sampler = load_kind("samplers", generator.recipe.sampling.sampler["kind"]).Config
    return modules_of(generator, generator.denoiser, generator.conditioner, generator.autoencoder, sampler)


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
        "facegen": facegen.__version__,
        "torch": torch.__version__,
    }


def _state_digest(module: Any) -> str:
    digest = hashlib.sha256()
    if isinstance(module, nn.Module):
        for name, value in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
