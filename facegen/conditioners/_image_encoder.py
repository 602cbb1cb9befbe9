"""Frozen image encoders: CLIP and DINOv2 from transformers by hub name or folder, or a facegen classifier.

Weights are read from safetensors only and no code of the model's folder is ever run.

Letters: B images, H/W pixels, S pixels a side that the encoder takes, D features.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float16
from torch import Tensor

from facegen.errors import DataError, UsageError
from facegen.formats.classifier_run import CLASSIFIER_PREFIX, check_image_size, open_classifier
from facegen.formats.files import sha256_of
from facegen.formats.images import to_unit
from facegen.formats.model_folders import PretrainedFolder
from facegen.nn.perceptual import IMAGENET_MEAN, IMAGENET_STD
from facegen.shapes import Pixels, Vectors

WITHOUT_NETWORK = "Without: copy the model's folder here and give its path, or take classifier:RUN."
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
FIXED_ROWS = 8  # images a call, always, so that an image's features do not depend on its neighbours


@dataclass(frozen=True)
class ImageEncoder:
    """Pixels to features. Not a module, so that it never enters a state_dict.

    `fingerprint` changes with the weights and with what is done to the image before them.
    """

    name: str
    fingerprint: str
    dim: int
    extract: Callable[[Pixels], Vectors]

    @torch.inference_mode()
    def __call__(self, images: Pixels) -> Float16[Tensor, "B {self.dim}"]:
        """Features on the CPU.

        Raises:
            UsageError: a classifier of another image size.
            DataError: features that float16 cannot hold.
        """
        parts = []
        for start in range(0, len(images), FIXED_ROWS):
            rows = torch.arange(start, start + FIXED_ROWS).clamp(max=len(images) - 1)
            parts.append(self.extract(images[rows])[: len(images) - start].cpu())
        features = torch.cat(parts).half()
        if not bool(features.isfinite().all()):
            raise DataError(f"The image encoder '{self.name}' gives features that float16 cannot hold.")
        return features.clone()  # made outside inference mode's rules


def load_image_encoder(name: str, device: str | torch.device = "cpu") -> ImageEncoder:
    """The encoder `name`: a hub name or folder of CLIP or DINOv2, or "classifier:RUN" trained by facegen.

    CLIP gives its projected image embedding, DINOv2 its class token, a classifier the features before its
    last layer.

    Raises:
        MissingModelError: not there and not to be had; says how to fetch it.
        DataError: there, but not a complete model in safetensors.
        UsageError: a model or run of another kind.
    """
    if name.startswith(CLASSIFIER_PREFIX):
        return _classifier(name, torch.device(device))
    return _transformer(name, torch.device(device))


def _classifier(name: str, device: torch.device) -> ImageEncoder:
    run = name.removeprefix(CLASSIFIER_PREFIX)
    classifier = open_classifier(Path(run), device)

    def extract(images: Pixels) -> Vectors:
        check_image_size(f"The classifier '{run}'", classifier.image_size, images.shape[-1])
        return classifier.network.features(to_unit(images.to(device)))

    return ImageEncoder(name, classifier.fingerprint, classifier.network.num_features, extract)


def _transformer(name: str, device: torch.device) -> ImageEncoder:
    published = PretrainedFolder(name, "image encoder", "config.json and model.safetensors", WITHOUT_NETWORK)
    from transformers import AutoConfig, CLIPVisionModelWithProjection, Dinov2Model

    clip = dict.fromkeys(("clip", "clip_vision_model"), CLIPVisionModelWithProjection)
    networks = {**clip, "dinov2": Dinov2Model}
    kind = published.load(AutoConfig.from_pretrained).model_type
    if kind not in networks:
        raise UsageError(
            f"'{name}' is a '{kind}' model; an image encoder is a CLIP or DINOv2 model (hub name or folder), "
            f"or {CLASSIFIER_PREFIX}RUN."
        )
    model = published.network(networks[kind].from_pretrained).to(device)
    is_clip = kind in clip
    # Side in pixels, mean and deviation of the colours: as the preprocessor says, or usual in the family.
    path = published.folder / "preprocessor_config.json"
    told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    crop = told.get("crop_size")
    side = (crop.get("height") if isinstance(crop, dict) else crop) or model.config.image_size
    usual = (CLIP_MEAN, CLIP_STD) if is_clip else (IMAGENET_MEAN, IMAGENET_STD)
    colours = [tuple(told.get(key, u)) for key, u in zip(("image_mean", "image_std"), usual, strict=True)]
    shift, scale = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in colours)

    def extract(images: Pixels) -> Vectors:
        x = images.to(device).float() / 255
        x = F.interpolate(x, (side, side), mode="bicubic", antialias=True).clamp(0, 1)
        answer = model(pixel_values=(x - shift) / scale)  # (B, 3, S, S)
        return (answer.image_embeds if is_clip else answer.pooler_output).float()

    dim = model.config.projection_dim if is_clip else model.config.hidden_size
    fingerprint = sha256_of(json.dumps([published.digests(), side, *colours]).encode())
    return ImageEncoder(name, fingerprint, dim, extract)
