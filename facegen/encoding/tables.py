"""Tables that `facegen encode` writes beside the latents: what frozen encoders make of words and images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from facegen.conditioners.image_features import load_image_encoder
from facegen.conditioners.text import TextEncoder
from facegen.errors import DataError
from facegen.formats.dataset import Dataset
from facegen.formats.files import storage_errors
from facegen.formats.latents import (
    ImageFeatures,
    LatentIndex,
    LatentStore,
    TextEmbeddings,
    write_image_features,
    write_text_embeddings,
)
from facegen.protocols import Progress

BATCH_IMAGES = 64


@dataclass(frozen=True)
class EncodedTables:
    """The tables wanted for the first `counts` images of each split of `dataset`; None is not wanted."""

    out: Path
    dataset: Dataset
    counts: dict[str, int]
    device: torch.device
    text_encoder: str | None
    image_encoder: str | None

    def are_in(self, index: LatentIndex) -> bool:
        """Whether finished latents hold everything wanted, from the same encoders.

        Raises:
            MissingModelError, DataError: the image encoder asked for cannot be loaded.
        """
        if self.text_encoder not in (None, index.text_encoder):
            return False
        if self.image_encoder is None:
            return True
        table = LatentStore(self.out, index).image_features
        if table is None or table.encoder != self.image_encoder:
            return False
        return load_image_encoder(self.image_encoder).fingerprint == table.fingerprint

    def added_to(self, index: LatentIndex, scaling_split: str, progress: Progress) -> LatentIndex:
        """`index` with the tables wanted, which are written; image statistics are those of one split.

        Raises:
            MissingModelError, DataError: an encoder cannot be loaded, or the data have no captions.
        """
        if self.text_encoder is not None:
            table = self._texts(self.text_encoder, progress)
            stored = write_text_embeddings(self.out, table)
            index = replace(index, text_encoder=table.encoder, text_embeddings=stored)
        if self.image_encoder is not None:
            features = self._images(self.image_encoder, scaling_split, progress)
            stored = write_image_features(self.out, features)
            index = replace(index, image_encoder=features.encoder, image_features=stored)
        return index

    def remove_others(self, index: LatentIndex) -> None:
        """Remove tables of other encoders than those `index` names."""
        kept = {file.name for file in (index.text_embeddings, index.image_features) if file is not None}
        with storage_errors(self.out):
            for pattern in ("text_embeddings-*.safetensors", "image_features-*.safetensors"):
                for path in self.out.glob(pattern):
                    if path.name not in kept:
                        path.unlink()

    def _texts(self, name: str, progress: Progress) -> TextEmbeddings:
        """Embeddings of the unique captions, the empty one included."""
        encoder = TextEncoder(name, device=self.device)
        captions = self._unique_captions()
        with progress.stage("Embedding captions", total=len(captions)) as bar:
            tokens, mask = encoder.embed(captions, bar.advance)
        return TextEmbeddings(name, captions, tokens, mask)

    def _images(self, name: str, scaling_split: str, progress: Progress) -> ImageFeatures:
        encoder = load_image_encoder(name, self.device)
        features = torch.empty(sum(self.counts.values()), encoder.dim, dtype=torch.float16)
        ids: list[str] = []
        measured = features[:0]
        with progress.stage("Image features", total=len(features)) as bar:
            for split, count in self.counts.items():
                images, first = self.dataset.split(split), len(ids)
                for rows in torch.arange(count).split(BATCH_IMAGES):
                    features[first + rows[0] : first + rows[-1] + 1] = encoder(images.images(rows))
                    bar.advance(len(rows))
                ids += images.frame["id"].iloc[:count].tolist()
                if split == scaling_split:
                    measured = features[first : first + count].double()
        mean, std = measured.mean(0), measured.std(0, unbiased=False)
        return ImageFeatures(name, encoder.fingerprint, ids, features, mean.tolist(), std.tolist())

    def _unique_captions(self) -> list[str]:
        unique = {"": None}  # insertion order: the same on every run
        for name, count in self.counts.items():
            frame = self.dataset.split(name).frame.iloc[:count]
            for caption, captions in zip(frame["caption"], frame["captions"], strict=True):
                many = [] if captions is None else list(captions)
                unique.update(dict.fromkeys(many or ([caption] if isinstance(caption, str) else [])))
        if len(unique) == 1:
            raise DataError(
                "This data set has no captions to embed.", hint="Encode it without a text encoder."
            )
        return list(unique)
