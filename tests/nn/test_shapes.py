"""A wrong shape is caught where it enters a layer or a score: one planted in every module."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from jaxtyping import TypeCheckError
from support.draws import draws_of

from facegen.nn.attention import CrossAttention, SelfAttention
from facegen.nn.attention_recording import AttentionMap, explicit_attention
from facegen.nn.augmentation import erased, mirrored, mixed, shifted
from facegen.nn.autoencoder_blocks import ResidualBlock
from facegen.nn.blocks import Upsample
from facegen.nn.calibration import Calibration, calibration_error, fit_calibration
from facegen.nn.class_head import ClassHead
from facegen.nn.classifier import MultiLabelResNet
from facegen.nn.discriminator import Discriminator, discriminator_loss
from facegen.nn.embeddings import TimestepEmbedding
from facegen.nn.multilabel_scores import area_under_roc, label_scores, multilabel_scores
from facegen.nn.perceptual import PerceptualDistance, UnitFeatureDistance, Vgg16Features
from facegen.nn.vector_autoencoder import ResidualDown, VectorDecoder, VectorEncoder

X, TIME, CHANCE = torch.zeros(4, 3, 8, 8), torch.full((4,), 500.0), draws_of(4)
TOKENS, SEEN = torch.zeros(4, 5, 8), torch.ones(4, 5, dtype=torch.bool)
HEADS, ROWS = torch.zeros(4, 2, 5, 4), torch.arange(4)
LOGITS, ONES = torch.zeros(4, 2), torch.ones(2)
VGG = Vgg16Features(["relu1_1"])
PLANTED: dict[str, Callable[[], object]] = {
    "attention: a mask of another length": lambda: SelfAttention(8, 2)(TOKENS, SEEN[:, :4]),
    "attention: a context of another batch": lambda: CrossAttention(8, 8, 2)(TOKENS, TOKENS[:2]),
    "recording: keys of one batch alone": lambda: explicit_attention(HEADS, HEADS[:1], HEADS),
    "recording: a mask of one key": lambda: explicit_attention(HEADS, HEADS, HEADS, SEEN[:, None, None, :1]),
    "recording: a row too few": lambda: AttentionMap("", "self", 0, ROWS[:3], TIME, HEADS),
    "augmentation: one image without a batch": lambda: mirrored(X[0], CHANCE),
    "augmentation: shifted without channels": lambda: shifted(X[:, 0], 1, CHANCE),
    "augmentation: erased without channels": lambda: erased(X[:, 0], 1.0, CHANCE),
    "augmentation: mixed with one target for all": lambda: mixed(X, LOGITS[:1], 1.0, CHANCE),
    "autoencoder blocks: one map without a batch": lambda: ResidualBlock(3)(X[0]),
    "blocks: a map without channels": lambda: Upsample(3)(X[:, 0]),
    "calibration: a scale for all": lambda: Calibration(ONES[:1], ONES, ONES),
    "calibration: targets in a row": lambda: fit_calibration(LOGITS, LOGITS[:1]),
    "calibration: probabilities in a column": lambda: calibration_error(LOGITS[:, :1], LOGITS[:, :1]),
    "class head: a class for all": lambda: ClassHead(3, 2).losses(LOGITS, ROWS[:1]),
    "classifier: one image without a batch": lambda: MultiLabelResNet(2, 32, (8, 8), 1)(X[0]),
    "discriminator: one image without a batch": lambda: Discriminator([8])(X[0]),
    "discriminator: fakes of another size": lambda: discriminator_loss(Discriminator([8]), X, X[..., :4]),
    "embeddings: a column of timesteps": lambda: TimestepEmbedding(8)(TIME[:, None]),
    "scores: targets of one label for all": lambda: multilabel_scores(LOGITS, LOGITS[:, :1], ["A", "B"]),
    "scores: a target for all": lambda: label_scores(LOGITS[:, 0], LOGITS[:1, 0]),
    "scores: labels in a column": lambda: area_under_roc(LOGITS[:, 0], SEEN[:, :1]),
    "perceptual: one target for all": lambda: PerceptualDistance(VGG)(X[:1], X),
    "perceptual: another of one channel": lambda: UnitFeatureDistance(VGG)(X, X[:, :1]),
    "perceptual: a map's weights in a column": lambda: UnitFeatureDistance(VGG, [LOGITS]),
    "vector autoencoder: an image that is not square": lambda: VectorEncoder(8, [8], 0, 2, 5)(X[..., :4]),
    "vector autoencoder: one map without a batch": lambda: ResidualDown(3, 8)(X[0]),
    "vector autoencoder: one vector without a batch": lambda: VectorDecoder(8, [8], 0, 2)(ONES),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_wrong_shape_is_caught(name: str) -> None:
    with pytest.raises(TypeCheckError):
        PLANTED[name]()
