"""A vector from a frozen image encoder's features of the picture, read from a table by record id.

`facegen encode --image-encoder NAME` writes the table beside the latents. Mirrored latents keep the
features of the image as it was.

Letters: N or B rows, D features, E width of the condition vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Float16
from pydantic import Field
from torch import Tensor, nn

from facegen.conditioners._image_encoder import ImageEncoder, load_image_encoder
from facegen.conditioners._pictures import PictureConditioner, asked_with_pictures
from facegen.config.kinds import KindConfig
from facegen.errors import DataError
from facegen.shapes import Pixels, Vectors
from facegen.types import LabelSchema, SampleSpec

if TYPE_CHECKING:
    import pandas as pd

    from facegen.formats.latents import ImageFeatures, TextEmbeddings

ASKING = asked_with_pictures("what a frozen image encoder makes of a picture")
FINGERPRINT_BYTES = 32  # of a sha256


class Config(KindConfig, frozen=True):
    kind: Literal["image_features"] = "image_features"
    encoder: str
    """Hub name or folder of a CLIP or DINOv2 model, or `classifier:RUN`."""
    feature_dim: int = Field(default=512, ge=1)
    """Features of `encoder`: 512 CLIP ViT-B/32, 768 ViT-L/14 and DINOv2-B."""
    dim: int = Field(default=512, ge=1)
    """Features of the vector."""
    dropout: float = Field(default=0.1, ge=0, le=1)
    """Probability that a sample does not see its features."""


class ImageFeatureConditioner(PictureConditioner):
    """Features (B, D) float16 to a vector (B, E); rows of NaN to a learned one. Only photos need the encoder.

    Features are standardised by what was measured on the training split. That and the encoder's
    fingerprint are part of the state_dict, so that a photo is later seen by the same encoder.
    """

    asking = ASKING
    shift: Tensor
    scale: Tensor
    encoder_sha256: Tensor

    def __init__(self, config: Config, labels: LabelSchema, sample: SampleSpec) -> None:
        feature_dim, dim = config.feature_dim, config.dim
        super().__init__((feature_dim,), torch.float16, dim, config.dropout)
        self.encoder_name, self.feature_dim = config.encoder, feature_dim
        self.project = nn.Linear(feature_dim, dim)
        self.null = nn.Parameter(torch.randn(dim))
        self.register_buffer("shift", torch.zeros(feature_dim))
        self.register_buffer("scale", torch.ones(feature_dim))
        self.register_buffer("encoder_sha256", torch.zeros(FINGERPRINT_BYTES, dtype=torch.uint8))
        self._rows: dict[str, int] = {}
        self._features = torch.zeros(0, feature_dim, dtype=torch.float16)  # memory-mapped, so not a buffer

    @cached_property
    def encoder(self) -> ImageEncoder:
        """The frozen encoder, loaded at first use, and the same that the model was trained with.

        Raises:
            MissingModelError: not there, and not to be had.
            DataError: another one of that name.
        """
        encoder = load_image_encoder(self.encoder_name)
        self._check_fingerprint(encoder.fingerprint)
        return encoder

    def _check_fingerprint(self, fingerprint: str) -> None:
        expected = bytes(self.encoder_sha256.tolist()).hex()
        if fingerprint != expected:
            raise DataError(
                f"Image encoder '{self.encoder_name}' is not the one this model was trained with: its "
                f"fingerprint is {fingerprint[:12]}, expected {expected[:12]}.",
                hint="Restore that encoder, or encode again and train on the new features.",
            )

    def attach(self, texts: TextEmbeddings | None, features: ImageFeatures | None) -> None:
        """Take over the table of the latents, and before training its statistics.

        Raises:
            DataError: there is none, it is another encoder's, or of another width.
        """
        if features is None:
            raise DataError(
                "Conditioner 'image_features' needs latents with image features, and these have none.",
                hint="Add them: facegen encode DATASET --autoencoder NAME_OR_PATH --out LATENTS "
                f"--image-encoder {self.encoder_name}",
            )
        if features.encoder != self.encoder_name:
            raise DataError(
                f"These latents have the features of '{features.encoder}', not of '{self.encoder_name}'.",
                hint=f"--set conditioner.encoder={features.encoder}",
            )
        width = features.features.shape[1]
        if width != self.feature_dim:
            raise DataError(
                f"'{features.encoder}' gives {width} features, and conditioner.feature_dim is "
                f"{self.feature_dim}.",
                hint=f"--set conditioner.feature_dim={width}",
            )
        self._rows = {record: row for row, record in enumerate(features.ids)}
        self._features = features.features
        if bool(self.encoder_sha256.any()):  # trained already: the statistics stay as they were
            self._check_fingerprint(features.fingerprint)
            return
        self.shift.copy_(torch.tensor(features.mean))
        self.scale.copy_(1 / torch.tensor(features.std).clamp(min=1e-6))
        self.encoder_sha256.copy_(torch.tensor(list(bytes.fromhex(features.fingerprint)), dtype=torch.uint8))

    def inputs(self, frame: pd.DataFrame) -> Float16[Tensor, "N D"]:
        """The features of the records of `frame`, by their `id`.

        Raises:
            DataError: the table lacks a record.
        """
        ids: Sequence[str] = frame["id"].tolist()
        missing = [record for record in ids if record not in self._rows]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(ids)} records have no image features, '{missing[0]}' for one.",
                hint="Ask for the pictures of a data set instead: --data DATASET",
            )
        return self._features[torch.tensor([self._rows[record] for record in ids], dtype=torch.int64)]

    def inputs_of_images(self, images: Pixels) -> Float16[Tensor, "B D"]:
        """What the encoder makes of pictures.

        Raises:
            MissingModelError, DataError: the encoder is not to be had, or is another one.
        """
        return self.encoder(images)

    def vectors_of(self, rows: Vectors) -> Float[Tensor, "B E"]:
        return self.project((rows.float() - self.shift) * self.scale)


build = ImageFeatureConditioner
