"""Writing a folder of latents (see `latents`): its files first, then its index.

Whatever is written here raises a `StorageError` where the disk is full or may not be written.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save
from torch import Tensor

from facegen.formats.files import atomic_write, sha256_of, write_json
from facegen.formats.latents import INDEX_FILE, ImageFeatures, LatentIndex, StoredFile, TextEmbeddings

if TYPE_CHECKING:
    import pandas as pd


def write_tensors(
    folder: Path,
    name: str,
    tensors: dict[str, Tensor],
    metadata: dict[str, str] | None = None,
    standing: Sequence[StoredFile] = (),
) -> StoredFile:
    """Write equally long tensors as one safetensors file, whole or not at all; the same bytes every time.

    Other content that `standing` has under that name is left alone, and `name` gets a checksum.
    """
    content = save(tensors, metadata=metadata)
    if metadata:
        content = _with_sorted_metadata(content)
    return _written(folder, name, len(next(iter(tensors.values()))), content, standing)


def _written(
    folder: Path, name: str, count: int, content: bytes, standing: Sequence[StoredFile]
) -> StoredFile:
    digest = sha256_of(content)
    if any(file.name == name and file.sha256 != digest for file in standing):
        stem, suffix = name.rsplit(".", 1)
        name = f"{stem}-{digest[:8]}.{suffix}"
    atomic_write(folder / name, content)
    return StoredFile(name, count, len(content), digest)


def _with_sorted_metadata(content: bytes) -> bytes:
    """A safetensors file with its metadata by name; safetensors shuffles them anew in every process."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + content[end:]


def write_records(
    folder: Path, split: str, frame: pd.DataFrame, standing: Sequence[StoredFile] = ()
) -> StoredFile:
    """Write the labels of a split as `records-<split>.parquet`; `standing` as in `write_tensors`."""
    content = frame.to_parquet(None, index=False)
    return _written(folder, f"records-{split}.parquet", len(frame), content, standing)


def write_text_embeddings(
    folder: Path, table: TextEmbeddings, standing: Sequence[StoredFile] = ()
) -> StoredFile:
    """Write the table as `text_embeddings-*.safetensors`; `standing` as in `write_tensors`."""
    told = {"encoder": table.encoder, "captions": json.dumps(table.captions, ensure_ascii=False)}
    tensors = {"tokens": table.tokens.half(), "mask": table.mask}
    return _write_table(folder, "text_embeddings", told, tensors, standing)


def write_image_features(
    folder: Path, table: ImageFeatures, standing: Sequence[StoredFile] = ()
) -> StoredFile:
    """Write the table as `image_features-*.safetensors`; its rows are those of the record tables in turn.

    `standing` as in `write_tensors`.
    """
    told = {"encoder": table.encoder, "fingerprint": table.fingerprint}
    told |= {"mean": json.dumps(table.mean), "std": json.dumps(table.std)}
    return _write_table(folder, "image_features", told, {"features": table.features.half()}, standing)


def _write_table(
    folder: Path,
    kind: str,
    metadata: dict[str, str],
    tensors: dict[str, Tensor],
    standing: Sequence[StoredFile],
) -> StoredFile:
    """Write to a file named after the encoder, so that a table of another one stays whole."""
    name = f"{kind}-{sha256_of(metadata['encoder'].encode())[:8]}.safetensors"
    whole = {key: value.contiguous() for key, value in tensors.items()}
    return write_tensors(folder, name, whole, metadata, standing)


def write_index(folder: Path, index: LatentIndex) -> None:
    """Write `index.json`, which makes the folder a finished one."""
    write_json(folder / INDEX_FILE, index.to_json())
