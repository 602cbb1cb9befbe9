"""Features of judged images and of the real ones they are held against, cached by what they depend on.

Real images are the reference, and what stands beside a score so that it is not believed too much: the floor,
real images judged like generated ones, and the ceiling, real images after a run's autoencoder.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

import facegen
from facegen.config.kinds import load_kind
from facegen.evaluation.feature_cache import Viewer, cached_tensors, modules_of
from facegen.evaluation.image_sources import FolderImages, StoredImages, batches, chosen_indices
from facegen.evaluation.judged_images import JudgedImages
from facegen.formats.dataset import Dataset
from facegen.metrics import FeatureStatistics, ReferenceFeatures
from facegen.models.generator import FaceGenerator
from facegen.sampling.records import BATCH_IMAGES, LabelledRecords, generated_batches, reconstructions

MAX_CACHED_FEATURES = 30_000  # 0.25 GB at 2048 features
MIN_SAMPLES = 16  # below this nothing is said of covariances and neighbours
CEILING_IMAGES = 1000  # the ceiling is not worth more time than the score


@dataclass(frozen=True)
class RealImages:
    """`count` images of one split (all if None), drawn with `seed`."""

    dataset: Dataset
    split: str
    count: int | None = None
    seed: int = 0

    @property
    def indices(self) -> Tensor:
        """Rows of the split, ascending."""
        return chosen_indices(len(self.dataset.split(self.split)), self.count, self.seed)

    @property
    def key(self) -> dict[str, str | int | None]:
        """Which images these are, for the cache."""
        taken = None if self.count is None else len(self.indices)
        return {
            "dataset": self.dataset.manifest.fingerprint,
            "split": self.split,
            "count": taken,
            "seed": self.seed if taken is not None else None,
        }


def real_features(real: RealImages, viewer: Viewer) -> Tensor:
    """Features (N, D) float32 of real images, from the cache where they are.

    Those of a large set (over `MAX_CACHED_FEATURES` images) are not kept: its statistics are.
    """
    indices, title = real.indices, f"Features of real images ({real.split})"
    parts = batches(real.dataset.split(real.split), indices, viewer.batch_size)
    if len(indices) > MAX_CACHED_FEATURES:
        return viewer.features(parts, len(indices), title)
    key, seen = {"what": "features", **real.key}, modules_of(real.dataset, batches)
    return viewer.kept_features(key, seen, parts, len(indices), title)


def real_reference(real: RealImages, viewer: Viewer) -> ReferenceFeatures:
    """The Gaussian of real images' features and the features themselves, from the cache where they are.

    Of a large set (over `MAX_CACHED_FEATURES` images) all count for the Gaussian, and that many drawn
    features are kept.
    """
    large = len(real.indices) > MAX_CACHED_FEATURES

    def compute() -> dict[str, Tensor]:
        features = real_features(real, viewer)
        statistics = FeatureStatistics.of(features)
        count = torch.tensor(statistics.num_samples)
        kept = {"mean": statistics.mean, "root": statistics.root, "num_samples": count}
        if large:
            kept["features"] = features[chosen_indices(len(features), MAX_CACHED_FEATURES, seed=0)]
        return kept

    what = "reference" if large else "statistics"
    key = {"what": what, **real.key, "extractor": viewer.extractor.fingerprint}
    seen = modules_of(viewer.extractor, real.dataset, batches, FeatureStatistics)
    kept = cached_tensors(key, seen, compute, viewer.progress)
    statistics = FeatureStatistics(kept["mean"], kept["root"], int(kept["num_samples"]))
    features = kept["features"] if large else real_features(real, viewer)
    return ReferenceFeatures(statistics, features)


@dataclass(frozen=True)
class RealFloor:
    """Real images at the sample's count; no generator can be asked to come closer to the reference.

    `method` is "held-out": images of other splits against the same reference; or "halves": two disjoint
    parts of the reference split, where the other splits hold too few images. `reference` is what `features`
    (N, D) are to be compared with.
    """

    features: Tensor
    reference: ReferenceFeatures
    method: Literal["held-out", "halves"]

    @property
    def facts(self) -> dict[str, Any]:
        """What a report says of it: how the images were chosen, and how many are compared with how many."""
        num_reference = self.reference.statistics.num_samples
        return {"num_samples": len(self.features), "num_reference": num_reference, "method": self.method}


def real_floor(sample: RealImages, reference: ReferenceFeatures, viewer: Viewer) -> RealFloor | None:
    """Real images to be judged in the sample's place, which is `count` images against the `split`; None if
    there are not enough of them."""
    num_samples, counts = sample.count or 0, sample.dataset.manifest.counts
    others = [name for name in sample.dataset.splits if name != sample.split]
    held_out = next((name for name in others if counts[name] >= num_samples), None)
    if held_out is not None:
        return RealFloor(real_features(replace(sample, split=held_out), viewer), reference, "held-out")
    features = reference.features
    taken = min(num_samples, len(features) // 2)
    if taken < MIN_SAMPLES:
        return None
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(sample.seed))
    rest = ReferenceFeatures.of(features[order[taken:]])
    return RealFloor(features[order[:taken]], rest, "halves")


def judged_features(judged: JudgedImages, split: str, viewer: Viewer) -> tuple[Tensor, StoredImages]:
    """Features (N, D) of all images of `judged`, and how the images were kept; a run draws them for that.

    Raises:
        DataError: an image of another size than the first, or not RGB.
    """
    parts, title = judged.parts(viewer.batch_size), judged.title("Features of the images")
    key, stored = _key(judged, split)
    if key is None:
        return viewer.features(parts, len(judged), title), stored
    made_by = modules_of(Dataset, batches)
    if judged.generator is not None:
        made_by = modules_of(generated_batches) | drawing_modules(judged.generator)
    return viewer.kept_features(key, made_by, parts, len(judged), title), stored


def reconstructed_features(judged: JudgedImages, sample: RealImages, viewer: Viewer) -> Tensor | None:
    """Features of the reference's own images after the run's autoencoder, at most as many as the `sample`
    has; None for what is not a run."""
    generator, dataset, split = judged.generator, sample.dataset, sample.split
    if generator is None:
        return None
    records = LabelledRecords(dataset.folder, split, dataset.split(split).frame, dataset=dataset)
    rows = replace(sample, count=min(CEILING_IMAGES, sample.count or CEILING_IMAGES)).indices
    parts = (reconstructions(generator, records, part) for part in rows.split(BATCH_IMAGES))
    key = {
        "what": "reconstructions",
        "dataset": dataset.manifest.fingerprint,
        "split": split,
        "rows": rows.tolist(),
        "autoencoder": _state_digest(generator.autoencoder),
        "scaling": repr(generator.scaling),
    }
    made_by = modules_of(dataset, reconstructions, generator.autoencoder)
    return viewer.kept_features(key, made_by, parts, len(rows), "Features of reconstructions")


def drawing_modules(generator: FaceGenerator) -> set[str]:
    """The modules that draw with this generator: its own and those of the kinds it is made of."""
    sampler = load_kind("samplers", generator.sampling.sampler["kind"]).Config
    return modules_of(generator, generator.network, generator.conditioner, generator.autoencoder, sampler)


def _key(judged: JudgedImages, split: str) -> tuple[dict[str, Any] | None, StoredImages]:
    """What the images depend on, None where that is unknown, and how they are kept."""
    if judged.kind == "folder":
        folder = FolderImages(judged.path)
        names = {path.name: index for index, path in enumerate(folder.files)}
        stored = folder.stored(torch.tensor([names[name] for name in judged.names]))
        return {"what": "folder", "files": stored.sha256}, stored
    if judged.kind == "dataset":
        fingerprint, rows = Dataset.open(judged.path).manifest.fingerprint, list(judged.names)
        key = {"what": "dataset rows", "dataset": fingerprint, "split": split, "rows": rows}
        return key, StoredImages("", ("png",))
    generator, drawn = judged.generator, StoredImages("", ("none",))
    if generator is None or generator.weights_sha256 is None:
        return None, drawn
    key = {
        "what": "drawn faces",
        "weights": generator.weights_sha256,
        "autoencoder": _state_digest(generator.autoencoder),
        "recipe": generator.described,
        "scaling": repr(generator.scaling),
        "settings": judged.settings,
        "requests": judged.frame.to_json(orient="split"),
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
