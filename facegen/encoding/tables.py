"""Tables that `facegen encode` writes beside the latents: what frozen encoders make of words and images.

Rows that a table of the same encoder has already, for the same caption or image, are taken over from it.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from facegen.conditioners.image_features import load_image_encoder
from facegen.conditioners.text import NULL_CAPTION, TextEncoder
from facegen.encoding.job import EncodingJob
from facegen.encoding.layout import Images, Standing
from facegen.errors import DataError
from facegen.formats.dataset import DatasetSplit
from facegen.formats.latents import ImageFeatures, LatentIndex, LatentStore, TextEmbeddings
from facegen.formats.latents_writing import write_image_features, write_text_embeddings
from facegen.processes import world

BATCH_IMAGES = 64
SAME_ENCODER = 0.02  # as far as float16 and another device let two embeddings of one caption differ


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


def with_tables(
    job: EncodingJob, index: LatentIndex, images: Images, standing: Standing | None
) -> LatentIndex:
    """`index` with the tables wanted, which are written; those that stand are wanted too.

    Several processes divide the images; captions are left to the first, as they take little.

    Raises:
        MissingModelError, DataError: an encoder cannot be loaded, or the data have no captions.
    """
    before = None if standing is None else standing.index
    files = () if before is None else before.files
    text_encoder = job.options.text_encoder or (before and before.text_encoder)
    if text_encoder is not None:
        stored = world().first(
            lambda: write_text_embeddings(job.out, _text_embeddings(job, text_encoder, standing), files)
        )
        index = replace(index, text_encoder=text_encoder, text_embeddings=stored)
    image_encoder = job.options.image_encoder or (before and before.image_encoder)
    if image_encoder is not None:
        features = _image_features(job, image_encoder, images, standing)
        stored = world().first(lambda: write_image_features(job.out, features, files))
        index = replace(index, image_encoder=features.encoder, image_features=stored)
    return index


def _text_embeddings(job: EncodingJob, name: str, standing: Standing | None) -> TextEmbeddings:
    """Embeddings of the unique captions, the empty one included."""
    captions = _unique_captions(job)
    table = None if standing is None else _standing_texts(job, standing)
    parts = [] if table is None or table.encoder != name else [table]
    known = {caption for part in parts for caption in part.captions}
    missing = [caption for caption in captions if caption not in known]
    if missing:
        encoder = TextEncoder(name, device=job.device)
        if parts and not _made_by(encoder, parts[0]):
            parts, missing = [], captions
        with job.progress.stage("Embedding captions", total=len(missing)) as bar:
            tokens, mask = encoder.embed(missing, bar.advance)
        parts.append(TextEmbeddings(name, missing, tokens.half(), mask))
    return _rows_of(captions, parts)


def _standing_texts(job: EncodingJob, standing: Standing) -> TextEmbeddings | None:
    file = standing.index.text_embeddings
    if file is None or file.name in standing.damaged:
        return None
    return LatentStore(job.out, standing.index).text_embeddings


def _standing_features(job: EncodingJob, standing: Standing) -> ImageFeatures | None:
    file = standing.index.image_features
    if file is None or file.name in standing.damaged:
        return None
    return LatentStore(job.out, standing.index).image_features


def _made_by(encoder: TextEncoder, table: TextEmbeddings) -> bool:
    """Whether this encoder gives the empty caption what `table` has for it: a name is no fingerprint."""
    tokens, mask = encoder.embed([NULL_CAPTION])
    row = table.captions.index(NULL_CAPTION)
    there = table.tokens[row][table.mask[row]].float()  # (L, D)
    here = tokens[0][mask[0]]
    return here.shape == there.shape and torch.allclose(here, there, atol=SAME_ENCODER, rtol=SAME_ENCODER)


def _rows_of(captions: list[str], parts: list[TextEmbeddings]) -> TextEmbeddings:
    """The rows of `captions` out of tables of one encoder, as long as the longest of them."""
    if len(parts) == 1 and parts[0].captions == captions:
        return parts[0]
    length = max(part.mask.shape[1] for part in parts)
    tokens = torch.cat([F.pad(part.tokens, (0, 0, 0, length - part.mask.shape[1])) for part in parts])
    mask = torch.cat([F.pad(part.mask, (0, length - part.mask.shape[1])) for part in parts])
    row_of = {caption: row for row, caption in enumerate(c for part in parts for c in part.captions)}
    rows = torch.tensor([row_of[caption] for caption in captions])
    longest = int(mask[rows].sum(1).max())
    return TextEmbeddings(parts[0].encoder, captions, tokens[rows, :longest], mask[rows, :longest])


def _image_features(job: EncodingJob, name: str, images: Images, standing: Standing | None) -> ImageFeatures:
    encoder = load_image_encoder(name, job.device)
    features = torch.empty(sum(job.counts.values()), encoder.dim, dtype=torch.float16)
    table = None if standing is None else _standing_features(job, standing)
    known = dict[bytes, int]()
    if standing is not None and table is not None and table.fingerprint == encoder.fingerprint:
        known = _rows_by_image(job, standing)
    ids: list[str] = []
    measured = features[:0]
    with job.progress.stage("Image features", total=len(features)) as bar:
        for split, hashes in images.items():
            dataset, first = job.dataset.split(split), len(ids)
            there = [row for row, image in enumerate(hashes) if image in known]
            if table is not None and there:
                rows = torch.tensor([known[hashes[row]] for row in there])
                features[first + torch.tensor(there)] = table.features[rows]
            bar.advance(len(there))
            missing = [row for row, image in enumerate(hashes) if image not in known]
            parts = torch.tensor(missing, dtype=torch.int64).split(BATCH_IMAGES) if missing else ()

            def seen(rows: Tensor, dataset: DatasetSplit = dataset) -> Tensor:
                return encoder(dataset.images(rows))

            for rows, found in zip(parts, world().divided(parts, seen), strict=True):
                features[first + rows] = found
                bar.advance(len(rows))
            ids += dataset.frame["id"].iloc[: len(hashes)].tolist()
            if split == job.scaling_split:
                measured = features[first : first + len(hashes)].double()
    mean, std = measured.mean(0), measured.std(0, unbiased=False)
    return ImageFeatures(name, encoder.fingerprint, ids, features, mean.tolist(), std.tolist())


def _rows_by_image(job: EncodingJob, standing: Standing) -> dict[bytes, int]:
    """Rows of the table of features that stands, which are in the order of its records."""
    store, known, first = LatentStore(job.out, standing.index), dict[bytes, int](), 0
    for split, count in standing.index.counts.items():
        file = standing.index.order.get(split)
        if split in standing.images and (file is None or file.name not in standing.damaged):
            images, order = standing.images[split], store.split(split).order
            rows = range(count) if order is None else order.tolist()
            known.update((images[row], first + record) for record, row in enumerate(rows))
        first += count
    return known


def _unique_captions(job: EncodingJob) -> list[str]:
    unique = {NULL_CAPTION: None}  # insertion order: the same on every run
    for name, count in job.counts.items():
        frame = job.dataset.split(name).frame.iloc[:count]
        for caption, captions in zip(frame["caption"], frame["captions"], strict=True):
            many = [] if captions is None else list(captions)
            unique.update(dict.fromkeys(many or ([caption] if isinstance(caption, str) else [])))
    if len(unique) == 1:
        raise DataError("This data set has no captions to embed.", hint="Encode it without a text encoder.")
    return list(unique)
