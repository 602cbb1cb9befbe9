"""Features of judged images and of the real ones they are held against, cached by what they depend on.

Real images are the reference, and what stands beside a score so that it is not believed too much: the floor,
real images judged like generated ones, and the ceiling, real images after a run's autoencoder.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

import facegen
from facegen.config.kinds import load_kind
from facegen.evaluation.image_sources import FolderImages, StoredImages
from facegen.evaluation.judged_images import JudgedImages
from facegen.formats.dataset import Dataset
from facegen.metrics import NUM_COLOURS, ReferenceFeatures
from facegen.models.chosen_images import batches
from facegen.models.feature_cache import Viewer, modules_of
from facegen.models.feature_networks import with_colours
from facegen.models.generator import FaceGenerator
from facegen.models.real_features import RealImages, real_features
from facegen.processes import world
from facegen.sampling.records import BATCH_IMAGES, LabelledRecords, generated_batches, reconstructions

MIN_SAMPLES = 16  # below this nothing is said of covariances and neighbours
CEILING_IMAGES = 1000  # the ceiling is not worth more time than the score


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


@dataclass(frozen=True)
class Looked:
    """What one look at images gave: features (N, D), colours (N, 6), and how the images were kept."""

    features: Tensor
    colours: Tensor
    stored: StoredImages


def judged_features(judged: JudgedImages, split: str, viewer: Viewer) -> Looked:
    """One look at all images of `judged`, which a run draws for that.

    Raises:
        DataError: an image of another size than the first, or not RGB.
    """
    both, stored = _seen(judged, split, replace(viewer, extractor=with_colours(viewer.extractor)))
    return Looked(both[:, :-NUM_COLOURS], both[:, -NUM_COLOURS:], stored)


def _seen(judged: JudgedImages, split: str, viewer: Viewer) -> tuple[Tensor, StoredImages]:
    title = judged.title("Features of the images")
    parts = judged.parts(viewer.batch_size)
    key, stored = _key(judged, split)
    if key is None:
        return viewer.features(parts, len(judged), title), stored
    if judged.generator is not None:
        made_by = modules_of(generated_batches) | drawing_modules(judged.generator)
        draw = partial(judged.parts, viewer.batch_size)
        return viewer.streamed_features(key, made_by, draw, len(judged), title), stored
    made_by = modules_of(Dataset, batches)
    return viewer.kept_features(key, made_by, parts, len(judged), title), stored


def reconstructed_features(judged: JudgedImages, sample: RealImages, viewer: Viewer) -> Tensor | None:
    """Features of the reference's own images after the run's autoencoder, at most as many as the `sample`
    has; None for what is not a run."""
    generator, dataset, split = judged.generator, sample.dataset, sample.split
    if generator is None:
        return None
    records = LabelledRecords(dataset.folder, split, dataset.split(split).frame, dataset=dataset)
    rows = replace(sample, count=min(CEILING_IMAGES, sample.count or CEILING_IMAGES)).indices
    parts = world().divided(rows.split(BATCH_IMAGES), lambda part: reconstructions(generator, records, part))
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
