"""CLIP score: how well images fit their captions (Hessel et al. 2021, arXiv:2104.08718)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypedDict

import numpy as np
import torch
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.errors import DataError
from facegen.metrics._features import joined
from facegen.metrics._intervals import ratio_interval

if TYPE_CHECKING:
    import pandas as pd

ImageFunction = Callable[[Tensor], Tensor]
"""uint8 (B, 3, H, W) -> image embeddings (B, D)."""
TextFunction = Callable[[Sequence[str]], Tensor]
"""B captions -> text embeddings (B, D) of the same space."""


class Config(KindConfig, frozen=True):
    kind: Literal["clip_score"] = "clip_score"


class PromptScore(TypedDict):
    """The mean score of the images of one prompt."""

    prompt: str
    score: float
    num_samples: int


class ClipScores(TypedDict):
    """What `ClipScore.compute` says."""

    score: float
    low: float
    high: float
    num_samples: int
    chance: float | None
    prompts: list[PromptScore]


class ClipScore:
    """`Metric` over images and the captions they were made for: 100 * max(cosine, 0) for each."""

    def __init__(self, config: Config, *, image_features: ImageFunction, text_features: TextFunction) -> None:
        self._image_features, self._text_features = image_features, text_features
        self._embedded: dict[str, Tensor] = {}
        self._captions: list[str] = []
        self._images: list[Tensor] = []  # unit embeddings (B, D)

    def update(self, images: Tensor, records: pd.DataFrame) -> None:
        """Add uint8 images (B, 3, H, W) with the column `caption`.

        Raises:
            DataError: an image without a caption.
        """
        if "caption" not in records.columns or bool(records["caption"].isna().to_numpy().any()):
            raise DataError("A CLIP score needs a caption for every image.")
        captions = [str(caption) for caption in records["caption"]]
        unseen = [caption for caption in dict.fromkeys(captions) if caption not in self._embedded]
        if unseen:
            self._embedded |= dict(zip(unseen, _unit(self._text_features(unseen)), strict=True))
        self._captions += captions
        self._images.append(_unit(self._image_features(images)))

    def per_image(self) -> Tensor:
        """The score of each image (N,), in the order they came.

        Raises:
            DataError: there were no images.
        """
        text = torch.stack([self._embedded[caption] for caption in self._captions])
        return torch.as_tensor(_scores(joined(self._images), text))

    def compute(self) -> ClipScores:
        """The mean with its 95 % bootstrap interval over images, what the images score with each other's
        captions (`chance`; None where all have the same), and each prompt, worst first.

        Raises:
            DataError: there were no images.
        """
        images, captions = joined(self._images), np.array(self._captions)
        text = torch.stack([self._embedded[caption] for caption in captions])
        scores = _scores(images, text)
        low, high = ratio_interval(scores, np.ones(len(scores)))
        prompts: list[PromptScore] = []
        for prompt in dict.fromkeys(self._captions):
            of_prompt = scores[captions == prompt]
            prompts.append(
                {"prompt": prompt, "score": float(of_prompt.mean()), "num_samples": len(of_prompt)}
            )
        return {
            "score": float(scores.mean()),
            "low": low,
            "high": high,
            "num_samples": len(scores),
            "chance": _chance(images, text, captions),
            "prompts": sorted(prompts, key=lambda prompt: prompt["score"]),
        }


build = ClipScore


def _chance(images: Tensor, text: Tensor, captions: np.ndarray) -> float | None:
    """The mean score with the caption that stands half a list away in order of captions."""
    order = captions.argsort(kind="stable")
    others = np.roll(order, -(len(order) // 2))
    differ = captions[order] != captions[others]
    return float(_scores(images[order[differ]], text[others[differ]]).mean()) if differ.any() else None


def _scores(images: Tensor, text: Tensor) -> np.ndarray:
    return (100 * (images * text).sum(1).clamp_min(0)).cpu().numpy()


def _unit(features: Tensor) -> Tensor:
    return torch.nn.functional.normalize(features.double(), dim=1)
