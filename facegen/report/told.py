"""One evaluation, as its JSON says, and what is said of it in every report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegen.report.blocks import Block, Facts, Figure, Headline

FACTS = {  # of an evaluation's JSON, by what a reader calls them
    "num_samples": "drawn faces",
    "num_images": "images",
    "num_reference": "real faces they are compared with",
    "num_train": "training images",
    "features": "features",
    "num_features": "numbers of features",
    "features_fingerprint": "network, layer, resize",
    "distance_fingerprint": "distance",
    "clip": "CLIP",
    "clip_fingerprint": "its fingerprint",
    "base": "the rest of each request",
    "classifier": "judge",
    "classifier_fingerprint": "fingerprint of the judge",
    "data": "labels from",
    "train": "training data",
    "train_fingerprint": "fingerprint of the training data",
    "dataset": "data",
    "dataset_fingerprint": "fingerprint of the data",
    "reference": "reference",
    "reference_fingerprint": "fingerprint of the reference",
    "split": "split",
    "image_size": "pixels a side",
    "latent_shape": "latents",
}


@dataclass(frozen=True)
class Evaluation:
    """One report, as its JSON says; `path` is where it is kept, None where nowhere."""

    path: Path | None
    metric: str
    data: dict[str, Any]

    @property
    def name(self) -> str | None:
        """Name of the file it is kept in."""
        return None if self.path is None else self.path.name

    @property
    def step(self) -> int | None:
        """Step of the checkpoint that was judged."""
        settings = self.data.get("settings")
        step = settings.get("checkpoint_step") if isinstance(settings, dict) else None
        return step if isinstance(step, int) else None

    def picture(self, key: str, caption: str, alt: str = "", **look: Any) -> list[Block]:
        """The picture that the report calls `key`: beside it, wherever the run has been moved to, else where
        it was written; nothing where the report has none."""
        name = self.data.get(key)
        if not isinstance(name, str):
            return []
        path = Path(name)
        beside = path if self.path is None else self.path.with_name(path.name)
        return [Figure(beside if beside.is_file() else path, caption, alt or caption, **look)]

    def honesty(self, values: Mapping[str, object] = {}) -> Facts:
        """The card under a score: what was judged by what, `values`, and how the faces were drawn."""
        known = {name: self.data[key] for key, name in FACTS.items() if key in self.data}
        settings = self.data.get("settings") or {}
        sampler, steps = settings.get("sampler"), settings.get("steps")
        drawn = {
            "checkpoint": None if self.step is None else f"step {self.step:,}",
            "sampler": f"{sampler.get('kind')}, {steps} steps" if isinstance(sampler, dict) else None,
            "guidance": settings.get("guidance_scale"),
            "seed": settings.get("seed"),
            "report": self.name,
        }
        return Facts({**known, **drawn, **values})


@dataclass(frozen=True)
class Sentence:
    """The evaluation's outcome, for the summary of a run."""

    text: str


Said = Block | Sentence | Headline
"""What is said of an evaluation: blocks in full, sentences of a summary, and numbers on top of a page."""
