"""Tables that `facegen encode` writes beside the latents: what frozen encoders make of words and images."""

from __future__ import annotations

from dataclasses import replace

import torch

from facegen.conditioners.image_features import load_image_encoder
from facegen.conditioners.text import TextEncoder
from facegen.encoding.job import EncodingJob
from facegen.errors import DataError
from facegen.formats.files import storage_errors
from facegen.formats.latents import (
    ImageFeatures,
    LatentIndex,
    LatentStore,
    TextEmbeddings,
    write_image_features,
    write_text_embeddings,
)

BATCH_IMAGES = 64


def tables_are_in(job: EncodingJob, index: LatentIndex) -> bool:
    """Whether finished latents hold every table wanted, from the same encoders.

    Raises:
        MissingModelError, DataError: the image encoder asked for cannot be loaded.
    """
    if job.options.text_encoder not in (None, index.text_encoder):
        return False
    wanted = job.options.image_encoder
    if wanted is None:
        return True
    table = LatentStore(job.out, index).image_features
    if table is None or table.encoder != wanted:
        return False
    return load_image_encoder(wanted).fingerprint == table.fingerprint


def with_tables(job: EncodingJob, index: LatentIndex) -> LatentIndex:
    """`index` with the tables wanted, which are written.

    Raises:
        MissingModelError, DataError: an encoder cannot be loaded, or the data have no captions.
    """
    if job.options.text_encoder is not None:
        table = _text_embeddings(job, job.options.text_encoder)
        stored = write_text_embeddings(job.out, table)
        index = replace(index, text_encoder=table.encoder, text_embeddings=stored)
    if job.options.image_encoder is not None:
        features = _image_features(job, job.options.image_encoder)
        stored = write_image_features(job.out, features)
        index = replace(index, image_encoder=features.encoder, image_features=stored)
    return index


def remove_other_tables(job: EncodingJob, index: LatentIndex) -> None:
    """Remove tables of other encoders than those `index` names."""
    kept = {file.name for file in (index.text_embeddings, index.image_features) if file is not None}
    with storage_errors(job.out):
        for pattern in ("text_embeddings-*.safetensors", "image_features-*.safetensors"):
            for path in job.out.glob(pattern):
                if path.name not in kept:
                    path.unlink()


def _text_embeddings(job: EncodingJob, name: str) -> TextEmbeddings:
    """Embeddings of the unique captions, the empty one included."""
    encoder = TextEncoder(name, device=job.device)
    captions = _unique_captions(job)
    with job.progress.stage("Embedding captions", total=len(captions)) as bar:
        tokens, mask = encoder.embed(captions, bar.advance)
    return TextEmbeddings(name, captions, tokens.half(), mask)


def _image_features(job: EncodingJob, name: str) -> ImageFeatures:
    encoder = load_image_encoder(name, job.device)
    features = torch.empty(sum(job.counts.values()), encoder.dim, dtype=torch.float16)
    ids: list[str] = []
    measured = features[:0]
    with job.progress.stage("Image features", total=len(features)) as bar:
        for split, count in job.counts.items():
            images, first = job.dataset.split(split), len(ids)
            for rows in torch.arange(count).split(BATCH_IMAGES):
                features[first + rows[0] : first + rows[-1] + 1] = encoder(images.images(rows))
                bar.advance(len(rows))
            ids += images.frame["id"].iloc[:count].tolist()
            if split == job.scaling_split:
                measured = features[first : first + count].double()
    mean, std = measured.mean(0), measured.std(0, unbiased=False)
    return ImageFeatures(name, encoder.fingerprint, ids, features, mean.tolist(), std.tolist())


def _unique_captions(job: EncodingJob) -> list[str]:
    unique = {"": None}  # insertion order: the same on every run
    for name, count in job.counts.items():
        frame = job.dataset.split(name).frame.iloc[:count]
        for caption, captions in zip(frame["caption"], frame["captions"], strict=True):
            many = [] if captions is None else list(captions)
            unique.update(dict.fromkeys(many or ([caption] if isinstance(caption, str) else [])))
    if len(unique) == 1:
        raise DataError("This data set has no captions to embed.", hint="Encode it without a text encoder.")
    return list(unique)
