"""Where the demo keeps what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DemoFolders:
    """The demo's output folder."""

    out: Path

    @property
    def dataset(self) -> Path:
        return self.out / "avatars"

    @property
    def autoencoder(self) -> Path:
        return self.out / "autoencoder"

    @property
    def latents(self) -> Path:
        return self.out / "latents"

    @property
    def classifier(self) -> Path:
        return self.out / "classifier"

    @property
    def run(self) -> Path:
        return self.out / "generator"
