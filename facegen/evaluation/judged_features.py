"""Features of judged images, from the cache where the same images were seen before by the same network."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

import facegen
from facegen.config.kinds import load_kind
from facegen.evaluation.code_fingerprint import modules_of
from facegen.evaluation.feature_cache import Viewer, cached_tensors
from facegen.evaluation.image_sources import FolderImages, StoredImages, batches
from facegen.evaluation.judged_images import JudgedImages
from facegen.evaluation.reference_statistics import RealImages
from facegen.formats.dataset import Dataset
from facegen.models.generator import FaceGenerator
from facegen.sampling.records import BATCH_IMAGES, LabelledRecords, generated_batches, reconstructions

CEILING_IMAGES = 1000  # the ceiling is not worth more time than the score


@dataclass(frozen=True)
class Look:
    """Features (N, D) of all images, and how the images were kept."""

    features: Tensor
    stored: StoredImages


def judged_features(judged: JudgedImages, split: str, viewer: Viewer) -> Look:
    """Look at all images of `judged` once; for a run that means drawing them.

    Raises:
        DataError: an image of another size than the first, or not RGB.
    """
    extractor, generator = viewer.extractor, judged.generator

    def compute() -> dict[str, Tensor]:
        parts = judged.parts(viewer.batch_size)
        return {"features": viewer.features(parts, len(judged), judged.title("Features of the images"))}

    key, stored = _key(judged, split)
    if key is None:
        return Look(compute()["features"], stored)
    if generator is None:
        made_by = modules_of(extractor, Dataset, batches)
    else:
        made_by = modules_of(extractor, generated_batches) | drawing_modules(generator)
    whole = {**key, "extractor": extractor.fingerprint}
    return Look(cached_tensors(whole, made_by, compute, viewer.progress)["features"], stored)


def reconstructed_features(judged: JudgedImages, sample: RealImages, viewer: Viewer) -> Tensor | None:
    """Features of the reference's own images after the run's autoencoder, at most as many as the `sample`
    has; None for what is not a run."""
    generator, dataset, split = judged.generator, sample.dataset, sample.split
    if generator is None:
        return None
    records = LabelledRecords(dataset.folder, split, dataset.split(split).frame, dataset=dataset)
    rows = replace(sample, count=min(CEILING_IMAGES, sample.count or CEILING_IMAGES)).indices

    def compute() -> dict[str, Tensor]:
        parts = (reconstructions(generator, records, part) for part in rows.split(BATCH_IMAGES))
        return {"features": viewer.features(parts, len(rows), "Features of reconstructions")}

    key = {
        "what": "reconstructions",
        "dataset": dataset.manifest.fingerprint,
        "split": split,
        "rows": _digest(rows.tolist()),
        "autoencoder": _state_digest(generator.autoencoder),
        "scaling": repr(generator.scaling),
        "extractor": viewer.extractor.fingerprint,
    }
    made_by = modules_of(viewer.extractor, dataset, reconstructions, generator.autoencoder)
    return cached_tensors(key, made_by, compute, viewer.progress)["features"]


def drawing_modules(generator: FaceGenerator) -> set[str]:
    """The modules that draw with this generator: its own and those of the kinds it is made of."""
    sampler = load_kind("samplers", generator.recipe.sampling.sampler["kind"]).Config
    return modules_of(generator, generator.network, generator.conditioner, generator.autoencoder, sampler)


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
    generator, drawn = judged.generator, StoredImages("", ("none",))
    if generator is None or generator.weights_sha256 is None:
        return None, drawn
    key = {
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
    return key, drawn


def _state_digest(module: Any) -> str:
    digest = hashlib.sha256()
    if isinstance(module, nn.Module):
        for name, value in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
