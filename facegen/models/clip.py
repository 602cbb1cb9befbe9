"""Any CLIP of transformers as a judge: images and captions in one space.

Weights are read from safetensors only and no code of the model's folder is ever run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from facegen.errors import DataError
from facegen.formats.files import sha256_of
from facegen.formats.images import to_pil
from facegen.formats.model_folders import PretrainedFolder
from facegen.models.devices import full_float32

OFFLINE_CHOICES = (
    "Without: copy such a model's folder here (config.json, preprocessor_config.json, tokenizer files, "
    "model.safetensors) and give it: --clip FOLDER. Or count how often the attributes asked for came true, "
    "which needs no download: facegen eval attributes RUN --classifier CLASSIFIER"
)


@dataclass(frozen=True)
class ClipModel:
    """A frozen CLIP (or a model of its interface, such as SigLIP) with its tokenizer and preprocessing.

    `fingerprint` changes with the weights and with how images are brought to the network's size.
    """

    name: str
    fingerprint: str
    model: Any
    tokenizer: Any
    image_processor: Any
    max_tokens: int

    @full_float32()
    @torch.inference_mode()
    def image_features(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) -> embeddings (B, D) float32 on the CPU."""
        pictures = [to_pil(image) for image in images]
        pixels = self.image_processor(images=pictures, return_tensors="pt")["pixel_values"]
        return _pooled(self.model.get_image_features(pixel_values=pixels.to(self.model.device)))

    @full_float32()
    @torch.inference_mode()
    def text_features(self, captions: Sequence[str]) -> Tensor:
        """Captions -> embeddings (B, D) float32 on the CPU; what is over `max_tokens` is cut off."""
        tokens = self.tokenizer(
            list(captions),
            padding="max_length",  # as CLIP and SigLIP were trained; CLIP masks it causally
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
        ).to(self.model.device)
        return _pooled(self.model.get_text_features(**tokens))

    def num_cut(self, captions: Sequence[str]) -> int:
        """How many of the captions are longer than the model reads."""
        ids = self.tokenizer(list(captions))["input_ids"]
        return sum(len(row) > self.max_tokens for row in ids)


def load_clip(name_or_folder: str, device: torch.device) -> ClipModel:
    """A CLIP from a local folder, the hub's cache, or the hub.

    Raises:
        MissingModelError: not there and not to be had; says how to fetch it.
        DataError: there, but not a complete CLIP in safetensors.
    """
    needed = "config.json, preprocessor_config.json, the tokenizer's files and model.safetensors"
    published = PretrainedFolder(name_or_folder, "CLIP", needed, OFFLINE_CHOICES)
    from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer

    config = published.load(AutoConfig.from_pretrained)
    if not hasattr(config, "text_config") or not hasattr(config, "vision_config"):
        raise DataError(
            f"'{name_or_folder}' is a {config.model_type}, not a CLIP: it must embed images and texts.",
            hint="Give one such as openai/clip-vit-base-patch32.",
        )
    # torchvision's resizing would differ from the published one, and may be broken beside a CPU torch
    processor = published.load(AutoImageProcessor.from_pretrained, backend="pil")
    tokenizer = published.load(AutoTokenizer.from_pretrained)
    model = published.network(AutoModel.from_pretrained)
    if not hasattr(model, "get_image_features"):
        raise DataError(f"'{name_or_folder}' embeds no images.", hint="Name another CLIP.")
    positions = getattr(config.text_config, "max_position_embeddings", None) or tokenizer.model_max_length
    settings = sha256_of(processor.to_json_string().encode())
    weights = sha256_of("".join(published.digests()).encode())
    return ClipModel(
        name=name_or_folder,
        fingerprint=f"{config.model_type}:{weights[:16]}:pil-{settings[:8]}",
        model=model.to(device),
        tokenizer=tokenizer,
        image_processor=processor,
        max_tokens=min(int(tokenizer.model_max_length), int(positions)),
    )


def _pooled(output: Any) -> Tensor:
    """The embeddings: the output itself before transformers 5.1, a field of it since."""
    return (output if isinstance(output, Tensor) else output.pooler_output).float().cpu()
