"""How long it may take, and where what is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from facegen.options import Option


@dataclass(frozen=True)
class MakeOptions:
    """`minutes` is the wall-clock goal of all stages together; `scale` "smoke" is for trying it out."""

    minutes: Annotated[float, Option("Time to fill, on this machine.", min=0.1)] = 60.0
    seed: Annotated[int, Option("Of splitting, training and drawing.", min=0)] = 0
    kind: Annotated[
        str | None,
        Option("What the source is; left out: by the evidence, which is told.", completes="dataset kinds"),
    ] = None
    autoencoder: Annotated[
        str | None,
        Option(
            "One that is there already: a run, a folder or a hub name; left out: one is trained.",
            completes="runs",
        ),
    ] = None
    scale: Literal["full", "smoke"] = "full"
    num_drawn: int | None = None  # of kinds that draw
    num_scored: int = 500


@dataclass(frozen=True)
class MakeFolders:
    """The output folder."""

    out: Path

    @property
    def dataset(self) -> Path:
        return self.out / "faces"

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

    @property
    def grid(self) -> Path:
        return self.out / "faces.png"

    @property
    def report(self) -> Path:
        return self.out / "report.html"
